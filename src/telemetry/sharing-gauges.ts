import { Gauge, type Registry } from 'prom-client';
import type { FleetGauges } from '../app/telemetry-port.ts';

const QUANTILES = [0.5, 0.99, 1];

/** How old the view of the nodes is, and who shares it. The returned function sets the gauges. */
export function createSharingGauges(registry: Registry): (fleet: FleetGauges) => void {
  const registers = [registry];
  const replicas = new Gauge({
    name: 'warmpath_replicas',
    help: 'Control planes that share their state and are alive, this one included.',
    registers,
  });
  const staleness = new Gauge({
    name: 'warmpath_snapshot_staleness_seconds',
    help: 'Age of what is known of the memory of nodes that are not down, whichever replica asked them.',
    labelNames: ['quantile'],
    registers,
  });
  return (fleet) => {
    replicas.set(fleet.replicas());
    staleness.reset();
    const now = fleet.now();
    const ages = fleet
      .snapshot()
      .nodes.flatMap(({ status, residentAt }) =>
        status === 'down' || residentAt === undefined ? [] : [Math.max(0, now - residentAt) / 1000],
      )
      .sort((a, b) => a - b);
    for (const quantile of QUANTILES) {
      const age = ages[Math.max(0, Math.ceil(ages.length * quantile) - 1)];
      if (age !== undefined) staleness.set({ quantile: String(quantile) }, age);
    }
  };
}
