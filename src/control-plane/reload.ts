import type { Alarms } from '../app/alarms.ts';
import type { Log } from '../app/log.ts';
import { systemClock } from '../app/system-clock.ts';
import type { Telemetry } from '../app/telemetry-port.ts';
import type { Config } from '../config/config.ts';
import type { ConfigDiff } from '../config/diff.ts';
import { type LoadedConfig, type LoadOptions, loadConfig } from '../config/load.ts';
import { type ReloadResult, watchConfig } from '../config/watch.ts';

/** The part of the control plane that a reload reaches. */
export interface Reloadable {
  readonly alarms: Alarms;
  readonly metrics: Pick<Telemetry, 'configReloaded'>;
  apply(config: Config): void;
}

export interface ReloadOptions {
  readonly plane: Reloadable;
  readonly source: LoadOptions;
  readonly loaded: LoadedConfig;
  readonly log: Log;
  readonly setLogLevel: (level: Config['log']['level']) => void;
  /** Registers what SIGHUP calls. */
  readonly onHangup: (listener: () => void) => void;
}

/** Keeps the running control plane in step with its configuration files. The function returned ends it. */
export function watchReloads(options: ReloadOptions): () => Promise<void> {
  const { plane, source, loaded, log } = options;
  const watcher = watchConfig({
    load: () => loadConfig(source),
    initial: loaded,
    apply: ({ applied }) => {
      options.setLogLevel(applied.log.level);
      plane.apply(applied);
    },
    onResult: (result) => report(result, plane, log),
    clock: systemClock,
  });
  options.onHangup(() => void watcher.reload());
  return () => watcher.close();
}

function report(result: ReloadResult, { alarms, metrics }: Reloadable, log: Log): void {
  if (result.kind === 'refused') {
    metrics.configReloaded('rejected');
    alarms.raise(
      'config_rejected',
      `the configuration was not reloaded, the old one stays: ${result.reason}`,
    );
    return;
  }
  alarms.clear('config_rejected');
  metrics.configReloaded(result.kind);
  if (result.kind === 'unchanged') log.info({}, 'configuration read again: nothing has changed');
  else log.info(summary(result.diff), 'configuration reloaded');
  if (result.kind === 'applied' && result.diff.needsRestart.length > 0) {
    log.warn({ settings: result.diff.needsRestart }, 'these settings take effect at the next start');
  }
}

function summary({ added, removed, changed, hot }: ConfigDiff): object {
  return {
    added: added.map(({ id }) => id),
    removed: removed.map(({ id }) => id),
    changed: changed.map(({ to }) => to.id),
    settings: hot,
  };
}
