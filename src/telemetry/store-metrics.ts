import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { StoreCounters } from '../app/telemetry-port.ts';

/** From a Redis on this machine to the longest that a command may take. */
const BUCKETS = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 10];

/** How the store that replicas share answers. Without one it is the process's own memory, which is always up. */
export function createStoreMetrics(registry: Registry): StoreCounters {
  const registers = [registry];
  const up = new Gauge({
    name: 'warmpath_store_up',
    help: '1 while the shared store answers; what replicas know of each other grows old while it does not.',
    registers,
  });
  const commands = new Counter({
    name: 'warmpath_store_commands_total',
    help: 'Commands to the shared store by how they went.',
    labelNames: ['command', 'result'],
    registers,
  });
  const seconds = new Histogram({
    name: 'warmpath_store_command_seconds',
    help: 'How long the shared store took to answer. No request waits for it.',
    buckets: BUCKETS,
    registers,
  });
  const rejected = new Counter({
    name: 'warmpath_store_values_rejected_total',
    help: 'Values in the shared store that are not what Warmpath writes, and count as absent.',
    labelNames: ['kind'],
    registers,
  });
  up.set(1);
  return {
    storeCommand: (command, result, took) => {
      commands.inc({ command, result });
      if (result === 'ok') seconds.observe(took);
    },
    storeValueRejected: (kind) => rejected.inc({ kind }),
    storeState: (state) => up.set(state === 'up' ? 1 : 0),
  };
}
