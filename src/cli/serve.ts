import { flushCompileCache } from 'node:module';
import { noNodesWarning } from '../app/no-nodes.ts';
import { systemClock } from '../app/system-clock.ts';
import { loadConfig } from '../config/load.ts';
import { ControlPlane } from '../control-plane/control-plane.ts';
import { nodeSummaries } from '../control-plane/node-summary.ts';
import { watchReloads } from '../control-plane/reload.ts';
import type { FromControlPlane, FromSupervisor } from '../supervisor/messages.ts';
import { createLogger } from '../telemetry/logger.ts';
import { type ConfigSource, configSource } from './config-source.ts';
import { EXIT, type ExitCode } from './exit-code.ts';
import type { RunFlags } from './options.ts';
import type { StopSignals } from './stop-signals.ts';

/** Runs the control plane until it is told to stop. Under `warmpath up` it reports to its supervisor. */
export async function serve(flags: RunFlags, stop: StopSignals): Promise<ExitCode> {
  const source: ConfigSource = configSource(flags, process.env);
  const loaded = await loadConfig(source);
  const { config } = loaded;
  const { logger, destination } = createLogger(config.log);
  const plane = new ControlPlane({
    config,
    clock: systemClock,
    random: Math.random,
    log: logger,
    droppedLogLines: () => destination.dropped(),
  });
  const supervisor = process.send === undefined ? undefined : connectSupervisor(plane, stop);
  try {
    await plane.start();
  } catch (error) {
    // What listens already would keep the process alive.
    await plane.stop(0, AbortSignal.abort());
    throw error;
  }
  supervisor?.({ type: 'listening' });
  // Now, as a process that is killed has no other occasion.
  flushCompileCache();
  plane.readiness.onReady(() => supervisor?.({ type: 'fleet', nodes: nodeSummaries(plane.fleet) }));
  if (supervisor === undefined) {
    logger.info(
      { grpc: config.grpc ?? config.stateDir, admin: config.admin, nodes: config.nodes.length },
      'control plane is listening',
    );
    // Some may have been kept from an earlier start. `up` says it where it says what is up.
    const warning = plane.fleet.nodes.size === 0 ? noNodesWarning(config) : undefined;
    if (warning !== undefined) logger.warn({}, warning);
  }
  const closeReloads = watchReloads({
    plane,
    source,
    loaded,
    log: logger,
    setLogLevel: (level) => {
      logger.level = level;
    },
    onHangup: stop.onHangup,
  });
  const failed = plane.done().then(
    () => undefined,
    (error: unknown) => error,
  );
  const failure = await Promise.race([failed, stop.requested]);
  await closeReloads();
  // Supervised, Envoy has been drained before: nothing is open any more.
  await plane.stop(config.envoy.drainTime, stop.now);
  if (failure instanceof Error) throw failure;
  logger.flush();
  return EXIT.ok;
}

/** Messages to and from the supervisor; its death is our end. */
function connectSupervisor(plane: ControlPlane, stop: StopSignals): (message: FromControlPlane) => void {
  process.on('message', (message) => {
    const news = message as FromSupervisor; // only our own parent writes to this channel
    if (news.type === 'draining') plane.envoyEndsIn(news.endsInMs);
    else plane.envoyIs({ version: news.version, pid: news.pid, restarts: news.restarts });
  });
  process.on('disconnect', () => stop.request());
  return (message) => {
    if (process.connected) process.send?.(message, undefined, undefined, () => undefined);
  };
}
