import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { EXT_PROC_PROBLEMS } from '../app/ext-proc-remedies.ts';
import type { EnvoyTelemetry, ExtProcTelemetry } from '../app/telemetry-port.ts';
import { CounterChildren } from './counter-children.ts';

/** Fine where a healthy answer lies (50 µs to 1 ms), coarse towards Envoy's message timeout of 2 s. */
const ANSWER_BUCKETS = [
  0.00005, 0.0001, 0.0002, 0.0003, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2,
];

export function createEnvoyMetrics(registry: Registry): EnvoyTelemetry & ExtProcTelemetry {
  const registers = [registry];
  const answers = new Histogram({
    name: 'warmpath_ext_proc_seconds',
    help: 'From the arrival of a message of Envoy to the answer.',
    buckets: ANSWER_BUCKETS,
    registers,
  });
  const streams = new Gauge({
    name: 'warmpath_ext_proc_streams',
    help: 'ext_proc streams open now: one per running request.',
    registers,
  });
  const opened = new CounterChildren(
    new Counter({
      name: 'warmpath_ext_proc_streams_total',
      help: 'ext_proc streams by the profile that answered and how the proxy sends request bodies.',
      labelNames: ['profile', 'mode'],
      registers,
    }),
  );
  const problems = new Counter({
    name: 'warmpath_ext_proc_problems_total',
    help: 'What was wrong with how a proxy called over ext_proc.',
    labelNames: ['problem'],
    registers,
  });
  // Prometheus sees an increase only over a figure that it has seen before.
  for (const problem of EXT_PROC_PROBLEMS) problems.inc({ problem }, 0);
  const pushes = new Counter({
    name: 'warmpath_eds_pushes_total',
    help: 'Endpoint lists sent to Envoy.',
    registers,
  });
  const nacks = new Counter({
    name: 'warmpath_eds_nacks_total',
    help: 'Endpoint lists that Envoy refused.',
    registers,
  });
  return {
    processorAnswered: (seconds) => {
      if (seconds >= 0 && seconds < Infinity) answers.observe(seconds);
    },
    processorStreamOpened: () => streams.inc(),
    processorStreamClosed: () => streams.dec(),
    extProcStream: (profile, mode) => opened.add(1, profile, mode),
    extProcProblem: (problem) => problems.inc({ problem }),
    endpointsPushed: () => pushes.inc(),
    endpointsRejected: () => nacks.inc(),
  };
}
