import type { NodeView } from '../fleet/types.ts';
import type { SlicedGauge } from './sliced-gauge.ts';

/** Series of one gauge; a fleet of more GPUs has the rest in `status --json`. */
const MAX_SERIES = 4_000;

type MakeGauge = <Label extends string>(name: string, help: string, labels: Label[]) => SlicedGauge<Label>;

/** Gauges of the GPUs that a fresh report tells of. What is returned begins a rendering, and then sets them node by node. */
export function createGpuGauges(gauge: MakeGauge): (now: number) => (node: NodeView, label: string) => void {
  const perGpu: ['node', 'gpu'] = ['node', 'gpu'];
  const utilization = gauge('node_gpu_utilization', 'Share of time that a GPU works, 0 to 1.', perGpu);
  const temperature = gauge('node_gpu_temperature_celsius', 'Temperature of a GPU.', perGpu);
  const power = gauge('node_gpu_power_watts', 'Power that a GPU draws.', perGpu);
  const throttled = gauge('node_gpu_throttled', '1 for a GPU slowed down for heat or power.', perGpu);
  const age = gauge('node_gpu_report_age_seconds', 'Since the GPU report that counts.', ['node', 'source']);
  return (now) => {
    let series = 0;
    return ({ gpu }, label) => {
      if (gpu === undefined) return;
      age.set({ node: label, source: gpu.report.source }, Math.max(0, now - gpu.at) / 1000);
      for (const { index, utilization: share, temperatureC, powerW, isThrottled } of gpu.report.gpus) {
        if (series >= MAX_SERIES) return;
        series += 1;
        const labels = { node: label, gpu: String(index) };
        if (share !== undefined) utilization.set(labels, share);
        if (temperatureC !== undefined) temperature.set(labels, temperatureC);
        if (powerW !== undefined) power.set(labels, powerW);
        if (isThrottled !== undefined) throttled.set(labels, isThrottled ? 1 : 0);
      }
    };
  };
}
