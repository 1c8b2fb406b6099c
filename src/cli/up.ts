import { systemClock } from '../app/system-clock.ts';
import { loadConfig } from '../config/load.ts';
import { startDemoFleet } from '../demo/demo-fleet.ts';
import { banner } from '../supervisor/banner.ts';
import { ControlPlaneStartError } from '../supervisor/control-plane-process.ts';
import { runUp } from '../supervisor/up.ts';
import { createLogger } from '../telemetry/logger.ts';
import { VERSION } from '../version.ts';
import { configSource } from './config-source.ts';
import { EXIT, type ExitCode } from './exit-code.ts';
import type { RunFlags } from './options.ts';
import { checkForOwnEnvoy } from './own-envoy.ts';
import type { StopSignals } from './stop-signals.ts';

/** Runs Envoy and the control plane until it is told to stop. `script` is the program's own entry. */
export async function up(flags: RunFlags, script: string, stop: StopSignals): Promise<ExitCode> {
  const demo = flags.demo ? await startDemoFleet() : undefined;
  try {
    const withDemo: RunFlags = {
      ...flags,
      node: [...flags.node, ...(demo?.nodes ?? []).map(({ name, url }) => `${name}=${url}`)],
    };
    const loaded = await loadConfig(configSource(withDemo, process.env));
    checkForOwnEnvoy(loaded, 'up');
    const { config } = loaded;
    const { logger } = createLogger(config.log);
    await runUp(
      {
        config,
        script,
        serveArgs: serveArguments(withDemo),
        clock: systemClock,
        random: Math.random,
        log: logger,
        onUp: (envoy, nodes) =>
          process.stdout.write(
            `${banner({ version: VERSION, envoyVersion: envoy.version, config, nodes })}\n`,
          ),
        onProgress: (line) => process.stderr.write(`warmpath: ${line}\n`),
        onHangup: stop.onHangup,
      },
      stop.gentle,
      stop.now,
    );
    return EXIT.ok;
  } catch (error) {
    // It has said why, on the same terminal.
    if (error instanceof ControlPlaneStartError) return EXIT.problem;
    throw error;
  } finally {
    await demo?.close();
  }
}

/** The same configuration, for the control plane's own process. */
function serveArguments(flags: RunFlags): string[] {
  const args = ['serve', ...flags.node.flatMap((node) => ['--node', node])];
  const pairs = [
    ['--config', flags.config],
    ['--listen', flags.listen],
    ['--admin', flags.admin],
    ['--grpc', flags.grpc],
    ['--state-dir', flags.stateDir],
    ['--log-level', flags.logLevel],
    ['--envoy', flags.envoy],
    ['--redis', flags.redis],
    ['--agents', flags.agents],
    ...(flags.discover ?? []).map((source) => ['--discover', source] as const),
  ] as const;
  for (const [option, value] of pairs) if (value !== undefined) args.push(option, value);
  return args;
}
