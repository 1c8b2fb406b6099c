import { Counter, type Registry } from 'prom-client';
import type { GpuTelemetry } from '../app/telemetry-port.ts';
import type { BoundedLabels } from './bounded-labels.ts';
import { CounterChildren } from './counter-children.ts';

/** Counts what agents send and what exporters answer; both results are words of ours. */
export function createGpuMetrics(registry: Registry, nodes: BoundedLabels): GpuTelemetry {
  const registers = [registry];
  const requests = new CounterChildren(
    new Counter({
      name: 'warmpath_agent_requests_total',
      help: 'Requests of agents, to join or to report, by how they went.',
      labelNames: ['request', 'result'],
      registers,
    }),
  );
  const scrapes = new CounterChildren(
    new Counter({
      name: 'warmpath_gpu_metrics_scrapes_total',
      help: 'Questions to exporters of GPU metrics by how they went.',
      labelNames: ['node', 'result'],
      registers,
    }),
  );
  return {
    agentRequest: (kind, result) => requests.add(1, kind, result),
    gpuMetricsScraped: (node, result) => scrapes.add(1, nodes.of(node), result),
  };
}
