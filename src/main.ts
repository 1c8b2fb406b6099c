#!/usr/bin/env node
import { fileURLToPath } from 'node:url';
import { systemClock } from './app/system-clock.ts';
import { EXIT } from './cli/exit-code.ts';
import { processIo } from './cli/process-io.ts';
import { runProgram } from './cli/program.ts';
import { listenForSignals } from './cli/stop-signals.ts';
import { VERSION } from './version.ts';

/** After the second Ctrl-C nothing is waited for any longer than this. */
const LAST_MOMENT_MS = 1000;

const stop = listenForSignals(() => {
  setTimeout(() => process.exit(EXIT.problem), LAST_MOMENT_MS).unref();
});

process.exitCode = await runProgram(process.argv.slice(2), {
  version: VERSION,
  io: processIo(systemClock, stop.gentle),
  // Loaded when asked for: `status` need not wait for what only servers use.
  up: async (flags) => (await import('./cli/up.ts')).up(flags, fileURLToPath(import.meta.url), stop),
  serve: async (flags) => (await import('./cli/serve.ts')).serve(flags, stop),
});
// The channel to the supervisor would keep a stopped control plane alive.
if (process.connected) process.disconnect?.();
