import { setImmediate } from 'node:timers/promises';
import { Gauge, Registry } from 'prom-client';
import type {
  DecisionTelemetry,
  EnvoyTelemetry,
  ExtProcTelemetry,
  FleetGauges,
  GpuTelemetry,
  LineTelemetry,
  StoreCounters,
  Telemetry,
} from '../app/telemetry-port.ts';
import { BoundedLabels } from './bounded-labels.ts';
import { createDecisionMetrics } from './decision-metrics.ts';
import { createEnvoyMetrics } from './envoy-metrics.ts';
import { createFleetMetrics } from './fleet-metrics.ts';
import { createGpuMetrics } from './gpu-metrics.ts';
import { createLineMetrics } from './line-metrics.ts';
import { createProcessMetrics } from './process-metrics.ts';
import { createSharingGauges } from './sharing-gauges.ts';
import { createStoreMetrics } from './store-metrics.ts';
import { createTrafficMetrics } from './traffic-metrics.ts';

/** A fleet larger than this shares one label value for the rest: a scrape must stay readable. */
const MAX_NODES = 1000;
const MAX_MODEL_SERIES = 2000;

export interface MetricsOptions {
  readonly version: string;
  /** Asked at every scrape: Envoy may be found later. */
  readonly envoyVersion: () => string | undefined;
  /** Paths that get a label value of their own. */
  readonly paths: Iterable<string>;
  /** Log lines given up because nobody reads them. */
  readonly droppedLogLines: () => number;
  readonly maxNodes?: number;
  readonly maxModelSeries?: number;
}

export interface Metrics
  extends Telemetry,
    EnvoyTelemetry,
    ExtProcTelemetry,
    StoreCounters,
    GpuTelemetry,
    LineTelemetry,
    DecisionTelemetry {
  readonly contentType: string;
  /** What the gauges read from now on. */
  watch(fleet: FleetGauges): void;
  /** The text that Prometheus scrapes. */
  render(): Promise<string>;
  close(): void;
}

/** All metrics, in a registry of their own. */
export function createMetrics(options: MetricsOptions): Metrics {
  const registry = new Registry();
  const nodes = new BoundedLabels(options.maxNodes ?? MAX_NODES);
  const traffic = createTrafficMetrics(registry, new Set(options.paths), nodes);
  const envoy = createEnvoyMetrics(registry);
  const store = createStoreMetrics(registry);
  const gpus = createGpuMetrics(registry, nodes);
  const { refresh: refreshDecisions, judge, ...decisions } = createDecisionMetrics(registry);
  const { refresh: refreshLine, ...line } = createLineMetrics(registry);
  const renderFleet = createFleetMetrics(nodes, options.maxModelSeries ?? MAX_MODEL_SERIES);
  const setSharing = createSharingGauges(registry);
  const runtime = createProcessMetrics(registry, options.version, options.envoyVersion);
  const dropped = new Gauge({
    name: 'warmpath_log_lines_dropped',
    help: 'Log lines given up since the start because the reader was too slow.',
    registers: [registry],
  });
  let fleet: FleetGauges | undefined;
  const render = async (): Promise<string> => {
    const ofFleet = fleet && (await renderFleet(fleet));
    if (fleet !== undefined) setSharing(fleet);
    refreshLine(fleet?.line?.());
    refreshDecisions(fleet?.guard?.(), fleet?.recording?.());
    runtime.refresh();
    dropped.set(options.droppedLogLines());
    const others = await renderInSlices(registry);
    return ofFleet === undefined ? others : `${ofFleet}\n\n${others}`;
  };
  // Scrapes at the same time share one rendering: the gauges are set once for all of them.
  let rendering: Promise<string> | undefined;
  return {
    ...traffic,
    ...envoy,
    ...store,
    ...gpus,
    ...decisions,
    ...line,
    ended: (request) => {
      traffic.ended(request);
      judge(request);
    },
    contentType: registry.contentType,
    watch: (gauges) => {
      fleet = gauges;
    },
    render: () => {
      rendering ??= render().finally(() => {
        rendering = undefined;
      });
      return rendering;
    },
    close: () => runtime.close(),
  };
}

/** Metric by metric, with room for requests in between: a large fleet has tens of thousands of lines. */
async function renderInSlices(registry: Registry): Promise<string> {
  const parts: string[] = [];
  for (const { name } of registry.getMetricsAsArray()) {
    parts.push(await registry.getSingleMetricAsString(name));
    await setImmediate();
  }
  return `${parts.join('\n\n')}\n`;
}
