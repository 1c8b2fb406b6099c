import { writeFile } from 'node:fs/promises';
import { type Command, InvalidArgumentError } from 'commander';
import { parseDuration } from '../config/duration.ts';
import { loadConfig } from '../config/load.ts';
import { envoyAdminPath } from '../control-plane/places.ts';
import { type EnvoyAdmin, envoyAdmin } from '../envoy/supervise/admin-client.ts';
import { drain } from '../envoy/supervise/stop.ts';
import { configSource } from './config-source.ts';
import { EXIT, type ExitCode } from './exit-code.ts';
import type { Io } from './io.ts';
import { addConfigOptions, type RunFlags } from './options.ts';

export interface DrainEnvoyFlags extends RunFlags {
  /** ms. */
  readonly delay: number;
  /** Written when it is done, for whoever waits beside Envoy. */
  readonly done?: string;
}

/** `warmpath drain-envoy`. */
export function addDrainEnvoyCommand(program: Command, io: Io, done: (code: ExitCode) => void): void {
  addConfigOptions(program.command('drain-envoy'))
    .description(
      'before an Envoy that Warmpath configured but does not run is stopped: let its clients go, wait for their requests',
    )
    .option('--delay <duration>', 'go on taking requests so long at least', durationMs, 0)
    .option('--done <file>', 'an empty file that is made in the end')
    .action(async (flags: DrainEnvoyFlags) => done(await runDrainEnvoy(io, flags)));
}

/** Waits for running requests as long as `envoy.drainTime` says. That Envoy is gone already is no problem. */
export async function runDrainEnvoy(
  io: Io,
  flags: DrainEnvoyFlags,
  adminAt: (path: string) => EnvoyAdmin = (path) => envoyAdmin({ kind: 'unix', path }),
): Promise<ExitCode> {
  const { config } = await loadConfig(configSource(flags, io.env));
  const admin = adminAt(envoyAdminPath(config.stateDir));
  const say = (text: string): unknown => io.err.write(`warmpath: ${text}\n`);
  await drain(
    {
      admin,
      clock: io.clock,
      drainMs: config.envoy.drainTime,
      delayMs: flags.delay,
      onEvent: (event) => {
        if (event.kind === 'draining') say(runs(event.activeRequests, 'draining Envoy'));
      },
    },
    io.signal,
  );
  say(runs(await admin.activeRequests(), 'Envoy may end'));
  if (flags.done !== undefined) await writeFile(flags.done, '');
  return EXIT.ok;
}

function runs(active: number | undefined, what: string): string {
  if (active === undefined) return `${what}: it does not answer`;
  return active === 0 ? `${what}: no request runs` : `${what}: ${active} requests still run`;
}

function durationMs(value: string): number {
  const ms = parseDuration(value);
  if (ms === undefined) throw new InvalidArgumentError('a duration such as 5s is needed.');
  return ms;
}
