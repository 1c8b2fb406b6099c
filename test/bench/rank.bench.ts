/**
 * What one decision and one rebuild of the snapshot cost: `node test/bench/rank.bench.ts`.
 * Every node has every model on disk, two of them in memory: the longest candidate lists that a fleet of that size can
 * have. `hot` is a model that all nodes have in memory, `busy` one whose slots are all taken.
 */
import { ModelDemand } from '../../src/fleet/demand.ts';
import { LeaseLedger } from '../../src/fleet/ledger.ts';
import { newNode } from '../../src/fleet/new-node.ts';
import { observe } from '../../src/fleet/observe.ts';
import { DEFAULT_HEALTH } from '../../src/fleet/params.ts';
import { SnapshotBuilder } from '../../src/fleet/snapshot-builder.ts';
import type {
  FleetSnapshot,
  ModelOnDisk,
  NodeRecord,
  Observation,
  ResidentModel,
} from '../../src/fleet/types.ts';
import { plainRequest } from '../../src/request/plain-request.ts';
import type { RouteRequest } from '../../src/request/types.ts';
import { DEFAULT_ROUTING } from '../../src/routing/params.ts';
import { rank } from '../../src/routing/rank.ts';
import type { Situation } from '../../src/routing/types.ts';

const GIB = 1024 ** 3;
const MODELS = 50;
const details = {
  parent_model: '',
  format: 'gguf',
  family: 'llama',
  families: null,
  parameter_size: '8B',
  quantization_level: 'Q4',
};
const name = (model: number): string => `model-${model}:latest`;

function onDisk(model: number): ModelOnDisk {
  return {
    key: name(model),
    name: name(model),
    digest: `d${model}`,
    sizeBytes: 5 * GIB,
    modifiedAt: '2026-09-01T10:00:00Z',
    details,
  };
}

function loaded(model: number): ResidentModel {
  return {
    key: name(model),
    name: name(model),
    digest: `d${model}`,
    sizeBytes: 6 * GIB,
    vramBytes: 6 * GIB,
    contextLength: 4096,
    expiresAt: '2026-09-01T10:05:00Z',
    details,
  };
}

function node(index: number): NodeRecord {
  const seen: Observation[] = [
    { kind: 'address', address: `10.0.${index >> 8}.${index & 255}:11434`, hosts: [] },
    { kind: 'tags', models: Array.from({ length: MODELS }, (_, m) => onDisk(m)), rttMs: 1 },
    {
      kind: 'resident',
      models: [loaded(index % MODELS), loaded((index * 7 + 1) % MODELS)],
      rttMs: (index % 10) / 10,
    },
  ];
  const start = newNode(
    {
      id: `node-${index}`,
      url: { scheme: 'http', host: 'h', port: 11434 },
      token: undefined,
      tlsCaFile: undefined,
      slots: 4,
      vramBytes: 24 * GIB,
      labels: {},
      weight: 1,
      drain: false,
    },
    0,
  );
  return seen.reduce((record, observation) => observe(record, observation, DEFAULT_HEALTH, 0), start);
}

function request(model: number): RouteRequest {
  return plainRequest(
    { path: '/api/chat', family: 'ollama', operation: 'chat', acceptsName: true },
    { raw: name(model), key: name(model) },
    { stream: true, bodyBytes: 600, promptBytes: 400 },
  );
}

const demand = new ModelDemand();
for (let i = 0; i < MODELS * 20; i += 1) demand.note(name(i % MODELS), i);

function situation(snapshot: FleetSnapshot, inflight: LeaseLedger): Situation {
  return {
    snapshot,
    inflight,
    demand,
    prompts: { cachedBytes: () => 0 },
    waiting: { ahead: () => 0 },
    params: DEFAULT_ROUTING,
    random: Math.random,
    now: 10,
  };
}

function quantile(sorted: Float64Array, share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

function measure(rounds: number, run: (round: number) => void): { p50: number; p99: number } {
  for (let i = 0; i < Math.min(rounds, 500); i += 1) run(i);
  const times = new Float64Array(rounds);
  for (let i = 0; i < rounds; i += 1) {
    const start = performance.now();
    run(i);
    times[i] = performance.now() - start;
  }
  times.sort();
  return { p50: quantile(times, 0.5), p99: quantile(times, 0.99) };
}

const rows: Record<string, object> = {};
for (const size of [2, 100, 1_000, 10_000]) {
  const records = Array.from({ length: size }, (_, i) => node(i));
  const changes = (list: readonly NodeRecord[]) => list.map((record) => [record.spec.id, record] as const);
  const ledger = new LeaseLedger();
  for (let i = 0; i < size; i += 1) ledger.take(`lease-${i}`, `node-${(i * 13) % size}`, name(i % MODELS), 0);
  const builder = new SnapshotBuilder();
  const first = performance.now();
  const snapshot = builder.next(changes(records), 0, DEFAULT_HEALTH);
  const firstMs = performance.now() - first;
  const rounds = size > 1_000 ? 2_000 : 5_000;
  const rankOf = (which: FleetSnapshot, inflight: LeaseLedger, model: (round: number) => number) =>
    measure(rounds, (i) => {
      rank(request(model(i)), situation(which, inflight));
    });
  const ranked = rankOf(snapshot, ledger, (i) => i % MODELS);
  const loaded0: Observation = { kind: 'resident', models: [loaded(0)], rttMs: 1 };
  const hot = new SnapshotBuilder().next(
    changes(records.map((record) => observe(record, loaded0, DEFAULT_HEALTH, 1))),
    1,
    DEFAULT_HEALTH,
  );
  const hotRank = rankOf(hot, ledger, () => 0);
  const full = new LeaseLedger();
  for (let i = 0; i < size * 5; i += 1) full.take(`lease-${i}`, `node-${i % size}`, name(0), 0);
  const busyRank = rankOf(snapshot, full, () => 0);
  const down = new SnapshotBuilder().next(
    changes(records.map((record, i) => (i === size - 1 ? record : dead(record)))),
    1,
    DEFAULT_HEALTH,
  );
  const downRank = rankOf(down, ledger, () => 0);
  const poll: Observation = { kind: 'resident', models: [loaded(0), loaded(1)], rttMs: 1 };
  const rebuilt = measure(size > 1_000 ? 1_000 : 5_000, (i) => {
    const at = i % size;
    const record = observe(records[at] ?? node(at), poll, DEFAULT_HEALTH, i);
    records[at] = record;
    builder.next([[record.spec.id, record]], i, DEFAULT_HEALTH);
  });
  const slice = measure(50, (i) => {
    const from = (i * 500) % size;
    const part = records.slice(from, from + 500).map((r) => observe(r, poll, DEFAULT_HEALTH, i + 1_000));
    builder.next(changes(part), i, DEFAULT_HEALTH);
  });
  rows[`${size} nodes x ${MODELS} models`] = {
    'rank p50 / p99 ms': figures(ranked),
    hot: figures(hotRank),
    busy: figures(busyRank),
    'all but one down': figures(downRank),
    'rebuild, 1 node polled': figures(rebuilt),
    '500 polled': figures(slice),
    'from nothing, once': firstMs.toFixed(1),
  };
}
console.table(rows);

function dead(record: NodeRecord): NodeRecord {
  const failed: Observation = { kind: 'poll_failed', reason: 'refused', detail: 'x' };
  return observe(observe(record, failed, DEFAULT_HEALTH, 1), failed, DEFAULT_HEALTH, 1);
}

function figures({ p50, p99 }: { p50: number; p99: number }): string {
  return `${p50.toFixed(4)} / ${p99.toFixed(4)}`;
}
