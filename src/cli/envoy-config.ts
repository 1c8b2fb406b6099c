import { loadConfig } from '../config/load.ts';
import { bootstrapOptions } from '../control-plane/bootstrap-options.ts';
import { renderBootstrap } from '../envoy/bootstrap/render.ts';
import { configSource } from './config-source.ts';
import { EXIT, type ExitCode } from './exit-code.ts';
import type { Io } from './io.ts';
import type { RunFlags } from './options.ts';

/** Prints the bootstrap that `up` would give to Envoy: as it is, for another Envoy, or to look at. */
export async function runEnvoyConfig(io: Io, flags: RunFlags): Promise<ExitCode> {
  const { config } = await loadConfig(configSource(flags, io.env));
  io.out.write(renderBootstrap(bootstrapOptions(config)));
  return EXIT.ok;
}
