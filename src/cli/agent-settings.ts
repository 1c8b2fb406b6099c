import { homedir, hostname } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';
import { parseVisibleDevices } from '../agent/gpu/choose.ts';
import { parseOwnerHours } from '../agent/owner-hours.ts';
import type { AgentSettings } from '../agent/settings.ts';
import { formatOrigin } from '../app/host-port.ts';
import { parseNodeUrl } from '../config/node-url.ts';
import { readBounded } from '../config/read-bounded.ts';
import { TOKEN } from '../config/schema-nodes.ts';
import { type AgentFlags, parseInterval } from './agent-options.ts';
import { SEARCH } from './agent-search.ts';

/** The flags make no sense; every problem at once, each saying what to do. */
export class AgentFlagsError extends Error {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join('\n'));
    this.name = 'AgentFlagsError';
    this.problems = problems;
  }
}

type Env = Readonly<Record<string, string | undefined>>;
const NAME = /^[A-Za-z0-9._-]{1,64}$/;
const MAX_TOKEN_FILE = 8_192;
const MAX_PEM = 1024 * 1024;

/** Flags and environment, checked. Throws AgentFlagsError. */
export async function agentSettings(flags: AgentFlags, env: Env, host = hostname()): Promise<AgentSettings> {
  const problems: string[] = [];
  const attempt = async <Value>(read: () => Value | Promise<Value>): Promise<Value | undefined> => {
    try {
      return await read();
    } catch (error) {
      problems.push(error instanceof Error ? error.message : String(error));
      return undefined;
    }
  };
  const to = (await attempt(() => controlPlanes(flags))) ?? [];
  const node = (await attempt(() => nodeName(flags.node, host))) ?? '';
  const url = await attempt(() => ollamaUrl(flags.url));
  const joinToken = await attempt(() => readToken(flags, env));
  const intervalMs = (await attempt(() => interval(flags.interval))) ?? 0;
  const ca = await attempt(() => readCa(flags.ca));
  const labels = (await attempt(() => readLabels(flags.label))) ?? {};
  const ownerHours = (await attempt(() => parseOwnerHours(flags.ownerHours ?? ''))) ?? [];
  const gpus = await attempt(() => readGpus(flags.gpus));
  await attempt(() => checkEnvironmentFile(flags.ollamaEnv));
  await attempt(() => atMost('--parallel', flags.parallel, 4_096));
  await attempt(() => atMost('--max-loaded', flags.maxLoaded, 4_096));
  await attempt(() => atMost('--max-queue', flags.maxQueue, 1_000_000));
  if (problems.length > 0) throw new AgentFlagsError(problems);
  return {
    to,
    node,
    url,
    joinToken,
    intervalMs,
    stateDir: resolve(flags.stateDir ?? env.STATE_DIRECTORY?.split(':')[0] ?? defaultStateDir(env)),
    ca,
    labels,
    ollama: { parallel: flags.parallel, maxLoadedModels: flags.maxLoaded, maxQueue: flags.maxQueue },
    ollamaEnvFile: flags.ollamaEnv,
    modelsDir: flags.modelsDir,
    gpus: gpus === undefined ? undefined : { nvidia: gpus, amd: gpus },
    maintenance: flags.maintenance === true ? '' : flags.maintenance,
    ownerHours,
  };
}

function controlPlanes({ to, once }: AgentFlags): URL[] {
  const urls = to.filter((text) => text !== '' && text !== SEARCH).map(controlPlane);
  if (urls.length === 0 && once !== true && !to.includes(SEARCH)) {
    throw new Error(
      '--to is missing: name the address of the control plane\'s "agents.listen", e.g. --to http://gateway:9412, or write --to mdns to look on this network',
    );
  }
  return urls;
}

function controlPlane(text: string): URL {
  const url = /^https?:\/\//i.test(text) && URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined)
    throw new Error(`--to "${text.slice(0, 80)}" is no URL: write e.g. http://gateway:9412`);
  // A password would end up in logs.
  if (url.username !== '' || url.password !== '') throw new Error('--to must hold no user or password');
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '') {
    throw new Error(`--to "${url.origin}…" must be scheme, host and port only`);
  }
  return url;
}

/** The first part of the host's name: what follows changes with the network that a laptop is in. */
export function nodeName(given: string | undefined, host: string): string {
  const name =
    given ??
    (host.split('.')[0] ?? '')
      .replace(/[^A-Za-z0-9_-]+/g, '-')
      .replace(/^-+|-+$/g, '')
      .slice(0, 64);
  if (NAME.test(name)) return name;
  throw new Error(
    given === undefined
      ? 'this machine has no host name that could be the name of a node: give one with --node'
      : '--node must be 1 to 64 letters, digits, dots, dashes or underscores',
  );
}

function ollamaUrl(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const result = parseNodeUrl(text);
  if ('problem' in result) throw new Error(`--url ${result.problem}`);
  return formatOrigin(result.url);
}

async function readToken({ joinToken, joinTokenFile }: AgentFlags, env: Env): Promise<string | undefined> {
  if (joinToken !== undefined && joinTokenFile !== undefined) {
    throw new Error('give --join-token or --join-token-file, not both');
  }
  const fromFile = async (path: string): Promise<string> => {
    try {
      return (await readBounded(path, MAX_TOKEN_FILE)).trim();
    } catch (error) {
      throw new Error(
        `--join-token-file ${path} ${error instanceof Error ? error.message : 'cannot be read'}`,
      );
    }
  };
  const token =
    joinTokenFile !== undefined ? await fromFile(joinTokenFile) : (joinToken ?? env.WARMPATH_JOIN_TOKEN);
  if (token === undefined || token === '') return undefined;
  if (token.length < 16 || !TOKEN.test(token)) {
    throw new Error('the join token must be 16 or more visible ASCII characters without blanks');
  }
  return token;
}

function interval(text: string): number {
  const ms = parseInterval(text);
  if (ms === undefined) throw new Error('--interval must be a duration from 500ms to 10m, e.g. "2s"');
  return ms;
}

async function readCa(path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined;
  try {
    const pem = await readBounded(path, MAX_PEM);
    if (pem.includes('-----BEGIN CERTIFICATE-----')) return pem;
  } catch (error) {
    throw new Error(`--ca ${path} ${error instanceof Error ? error.message : 'cannot be read'}`);
  }
  throw new Error(`--ca ${path} holds no certificate in PEM form`);
}

/** It is read again and again later: a restart of Ollama may change it. */
async function checkEnvironmentFile(path: string | undefined): Promise<void> {
  if (path === undefined) return;
  try {
    await readBounded(path, MAX_PEM);
  } catch (error) {
    throw new Error(`--ollama-env ${path} ${error instanceof Error ? error.message : 'cannot be read'}`);
  }
}

function readLabels(texts: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    texts.map((text) => {
      const [, key, value] = /^([A-Za-z0-9._-]{1,64})=(.{0,256})$/.exec(text) ?? [];
      if (key === undefined || value === undefined) throw new Error('--label must be KEY=VALUE');
      return [key, value];
    }),
  );
}

function atMost(flag: string, value: number | undefined, max: number): void {
  if (value !== undefined && value > max) throw new Error(`${flag} must be ${max} at most`);
}

function readGpus(text: string | undefined): readonly string[] | undefined {
  const gpus = parseVisibleDevices(text);
  if (text !== undefined && gpus?.length !== text.split(',').length) {
    throw new Error('--gpus must be a list of indices or UUIDs as nvidia-smi -L shows them, e.g. "0,1"');
  }
  return gpus;
}

function defaultStateDir(env: Env): string {
  const state = env.XDG_STATE_HOME;
  return join(state && isAbsolute(state) ? state : join(homedir(), '.local', 'state'), 'warmpath-agent');
}
