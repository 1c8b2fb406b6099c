import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { loadConfig } from '../config/load.ts';
import { bootstrapOptions, ensureCaFile } from '../control-plane/bootstrap-options.ts';
import { renderBootstrap } from '../envoy/bootstrap/render.ts';
import { ensureLastKnown } from '../envoy/endpoints/ensure-last-known.ts';
import { configSource } from './config-source.ts';
import { EXIT, type ExitCode } from './exit-code.ts';
import type { Io } from './io.ts';
import type { RunFlags } from './options.ts';
import { checkForOwnEnvoy } from './own-envoy.ts';
import { displayText } from './terminal.ts';

/**
 * Prints the bootstrap that `up` would give to Envoy: as it is, for another Envoy, or to look at. The file of last known
 * nodes that it names, and that of CAs where the system has none, are made where they are missing, because Envoy takes no
 * bootstrap without them.
 */
export async function runEnvoyConfig(io: Io, flags: RunFlags): Promise<ExitCode> {
  const loaded = await loadConfig(configSource(flags, io.env));
  checkForOwnEnvoy(loaded, 'envoy-config');
  const { config } = loaded;
  const options = bootstrapOptions(config);
  try {
    await mkdir(dirname(options.lastKnownFile), { recursive: true, mode: 0o700 });
    await ensureLastKnown(options.lastKnownFile);
    await ensureCaFile(config);
  } catch {
    io.err.write(
      `warmpath: Envoy starts only where ${displayText(options.lastKnownFile)} exists, and it cannot be made here\n`,
    );
  }
  io.out.write(renderBootstrap(options));
  return EXIT.ok;
}
