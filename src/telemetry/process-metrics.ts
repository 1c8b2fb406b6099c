import { monitorEventLoopDelay } from 'node:perf_hooks';
import { collectDefaultMetrics, Gauge, type Registry } from 'prom-client';

const RESOLUTION_MS = 10;

/** Who runs: build info, event-loop delay, and prom-client's own process metrics. The returned function refreshes them. */
export function createProcessMetrics(
  registry: Registry,
  version: string,
  envoyVersion: () => string | undefined,
): { refresh(): void; close(): void } {
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  const build = new Gauge({
    name: 'warmpath_build_info',
    help: '1, with the versions as labels.',
    labelNames: ['version', 'node', 'envoy'],
    registers,
  });
  const delay = new Gauge({
    name: 'warmpath_event_loop_delay_seconds',
    help: 'How late timers fired since the scrape before.',
    labelNames: ['quantile'],
    registers,
  });
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  histogram.enable();
  return {
    refresh: () => {
      build.reset();
      build.set({ version, node: process.versions.node, envoy: envoyVersion() ?? 'unknown' }, 1);
      delay.set({ quantile: '0.5' }, lateness(histogram, 50));
      delay.set({ quantile: '0.99' }, lateness(histogram, 99));
      delay.set({ quantile: '0.999' }, lateness(histogram, 99.9));
      delay.set({ quantile: '1' }, lateness(histogram, 100));
      histogram.reset();
    },
    close: () => histogram.disable(),
  };
}

/** The histogram holds the time between two ticks of a timer, its own period included. */
function lateness(histogram: ReturnType<typeof monitorEventLoopDelay>, percentile: number): number {
  if (histogram.count === 0) return 0;
  return Math.max(0, histogram.percentile(percentile) / 1e6 - RESOLUTION_MS) / 1000;
}
