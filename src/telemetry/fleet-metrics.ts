import { setImmediate } from 'node:timers/promises';
import type { FleetGauges } from '../app/telemetry-port.ts';
import type { FleetSnapshot, NodeStatus, NodeView } from '../fleet/types.ts';
import { type BoundedLabels, OTHER } from './bounded-labels.ts';
import { createGpuGauges } from './gpu-gauges.ts';
import { createLearntGauges } from './learnt-gauges.ts';
import { SlicedGauge } from './sliced-gauge.ts';

const STATUSES = ['unknown', 'ready', 'suspect', 'down', 'draining'] as const satisfies NodeStatus[];

/** Nodes whose gauges are set without a pause. */
const SLICE = 100;

/**
 * Gauges of the fleet. The returned function answers their text as of the moment of its call, made with pauses for
 * requests; nodes that left are not in it.
 */
export function createFleetMetrics(
  nodes: BoundedLabels,
  maxModelSeries: number,
): (fleet: FleetGauges) => Promise<string> {
  const all: SlicedGauge<string>[] = [];
  const gauge = <Label extends string>(name: string, help: string, labelNames: Label[]) => {
    const made = new SlicedGauge(`warmpath_${name}`, help, labelNames);
    all.push(made);
    return made;
  };

  const state = gauge('node_state', '1 for the state that the node is in.', ['node', 'state']);
  const admission = gauge('node_admission', 'Below 1 while a recovered node is eased back in.', ['node']);
  const rtt = gauge('node_rtt_seconds', 'Smoothed round trip of polls.', ['node']);
  const slots = gauge('node_slots', 'Requests for one model that the node runs at once.', ['node']);
  const failureRate = gauge('node_failure_rate', 'Smoothed share of live attempts that failed.', ['node']);
  const vramUsed = gauge(
    'node_vram_used_bytes',
    'VRAM taken by resident models or, by a fresh report, anybody.',
    ['node'],
  );
  const vramTotal = gauge('node_vram_total_bytes', 'VRAM, where it is known.', ['node', 'source']);
  const setGpus = createGpuGauges(gauge);
  const setLearnt = createLearntGauges(gauge);
  const pollAge = gauge('node_poll_age_seconds', 'Since the last good answer of /api/ps.', ['node']);
  const draining = gauge('node_draining', '1 for each reason why the node gets no new requests.', [
    'node',
    'cause',
  ]);
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
    if (node.vramTotalBytes !== undefined)
      vramTotal.set({ node: label, source: node.vramSource }, finite(node.vramTotalBytes));
    if (node.residentAt !== undefined)
      pollAge.set({ node: label }, Math.max(0, now - node.residentAt) / 1000);
  };

  return async (fleet) => {
    for (const metric of all) metric.reset();
    const snapshot = fleet.snapshot();
    const now = fleet.now();
    leases.set({}, fleet.openLeases());
    version.set({}, snapshot.version);
    const models = new ModelLabels(snapshot, maxModelSeries);
    // A budget of its own: what is in memory now must not go without a name for what once was.
    const learntModels = new ModelLabels(snapshot, maxModelSeries);
    const setGpusOf = setGpus(now);
    const running = fleet.inflight();
    const drains = [...(fleet.drains?.() ?? [])];
    for (const [i, node] of snapshot.nodes.entries()) {
      if (i % SLICE === SLICE - 1) await setImmediate();
      const label = nodes.of(node.id);
      if (label === OTHER) continue;
      setNode(node, label, now);
      setGpusOf(node, label);
      setLearnt(node, label, (model) => learntModels.of(node.id, model));
      nodeInflight.set({ node: label }, 0);
      // By name as the node lists it: `warm` also holds the aliases that reach the same weights.
      for (const model of new Map([...node.warm.values()].map((each) => [each.key, each])).values()) {
        const name = models.of(node.id, model.key);
        resident.set({ node: label, model: name }, 1);
        modelVram.inc({ node: label, model: name }, finite(model.vramBytes));
      }
    }
    for (const [node, causes] of drains) {
      const label = nodes.of(node);
      if (label !== OTHER) for (const cause of causes) draining.set({ node: label, cause }, 1);
    }
    for (const [node, counts] of running) {
      for (const [model, count] of counts) {
        if (!(count > 0)) continue;
        const label = nodes.of(node);
        nodeInflight.inc({ node: label }, count);
        inflight.inc({ node: label, model: models.of(node, model) }, count);
      }
    }
    const texts: string[] = [];
    for (const metric of all) texts.push(await metric.render());
    return texts.join('\n\n');
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
