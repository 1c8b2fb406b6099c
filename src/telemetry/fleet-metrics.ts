import { Gauge, type Registry } from 'prom-client';
import type { FleetGauges } from '../app/telemetry-port.ts';
import type { FleetSnapshot, NodeStatus, NodeView } from '../fleet/types.ts';
import { type BoundedLabels, OTHER } from './bounded-labels.ts';

const STATUSES = ['unknown', 'ready', 'suspect', 'down', 'draining'] as const satisfies NodeStatus[];

/** Gauges of the fleet. The returned function sets them from the state of this moment; nodes that left disappear. */
export function createFleetMetrics(
  registry: Registry,
  nodes: BoundedLabels,
  maxModelSeries: number,
): (fleet: FleetGauges) => void {
  const gauge = <Label extends string>(name: string, help: string, labelNames: Label[]) =>
    new Gauge({ name: `warmpath_${name}`, help, labelNames, registers: [registry] });

  const state = gauge('node_state', '1 for the state that the node is in.', ['node', 'state']);
  const admission = gauge('node_admission', 'Below 1 while a recovered node is eased back in.', ['node']);
  const rtt = gauge('node_rtt_seconds', 'Smoothed round trip of polls.', ['node']);
  const slots = gauge('node_slots', 'Requests for one model that the node runs at once.', ['node']);
  const failureRate = gauge('node_failure_rate', 'Smoothed share of live attempts that failed.', ['node']);
  const vramUsed = gauge('node_vram_used_bytes', 'VRAM of resident models.', ['node']);
  const vramTotal = gauge('node_vram_total_bytes', 'VRAM, where it is known.', ['node']);
  const pollAge = gauge('node_poll_age_seconds', 'Since the last good answer of /api/ps.', ['node']);
  const nodeInflight = gauge('node_inflight', 'Running requests of this replica.', ['node']);
  const inflight = gauge('inflight', 'Running requests of this replica by node and model.', [
    'node',
    'model',
  ]);
  const resident = gauge('model_resident', '1 for a model in the memory of a node.', ['node', 'model']);
  const modelVram = gauge('model_vram_bytes', 'VRAM that a resident model takes.', ['node', 'model']);
  const leases = gauge('leases_open', 'Leases that this replica holds.', []);
  const version = gauge('snapshot_version', 'Grows with every rebuild of the fleet snapshot.', []);

  const setNode = (node: NodeView, label: string, now: number): void => {
    for (const status of STATUSES) state.set({ node: label, state: status }, node.status === status ? 1 : 0);
    admission.set({ node: label }, finite(node.admission));
    rtt.set({ node: label }, finite(node.rttMs) / 1000);
    slots.set({ node: label }, finite(node.slots));
    failureRate.set({ node: label }, finite(node.failureRate));
    vramUsed.set({ node: label }, finite(node.vramUsedBytes));
    if (node.vramTotalBytes !== undefined) vramTotal.set({ node: label }, finite(node.vramTotalBytes));
    if (node.residentAt !== undefined)
      pollAge.set({ node: label }, Math.max(0, now - node.residentAt) / 1000);
  };

  return (fleet) => {
    const gauges = [state, admission, rtt, slots, failureRate, vramUsed, vramTotal, pollAge];
    for (const metric of [...gauges, nodeInflight, inflight, resident, modelVram]) metric.reset();
    const snapshot = fleet.snapshot();
    const now = fleet.now();
    leases.set({}, fleet.openLeases());
    version.set({}, snapshot.version);
    const models = new ModelLabels(snapshot, maxModelSeries);
    for (const node of snapshot.nodes) {
      const label = nodes.of(node.id);
      if (label === OTHER) continue;
      setNode(node, label, now);
      nodeInflight.set({ node: label }, 0);
      // By name as the node lists it: `warm` also holds the aliases that reach the same weights.
      for (const model of new Map([...node.warm.values()].map((each) => [each.key, each])).values()) {
        const name = models.of(node.id, model.key);
        resident.set({ node: label, model: name }, 1);
        modelVram.inc({ node: label, model: name }, finite(model.vramBytes));
      }
    }
    for (const [node, counts] of fleet.inflight()) {
      for (const [model, count] of counts) {
        if (!(count > 0)) continue;
        const label = nodes.of(node);
        nodeInflight.inc({ node: label }, count);
        inflight.inc({ node: label, model: models.of(node, model) }, count);
      }
    }
  };
}

/** Model names as label values: only those the fleet knows, and no more than `cap` pairs of node and model a scrape. */
class ModelLabels {
  readonly #snapshot: FleetSnapshot;
  readonly #pairs = new Set<string>();
  readonly #cap: number;

  constructor(snapshot: FleetSnapshot, cap: number) {
    this.#snapshot = snapshot;
    this.#cap = cap;
  }

  of(node: string, model: string): string {
    const isKnown =
      this.#snapshot.byModel.has(model) || this.#snapshot.byId.get(node)?.warm.has(model) === true;
    if (!isKnown) return OTHER;
    const pair = `${node}\n${model}`;
    if (this.#pairs.has(pair)) return model;
    if (this.#pairs.size >= this.#cap) return OTHER;
    this.#pairs.add(pair);
    return model;
  }
}

function finite(value: number): number {
  return Number.isFinite(value) ? value : 0;
}
