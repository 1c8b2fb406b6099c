/**
 * What one decision and one rebuild of the snapshot cost: `node test/bench/rank.bench.ts`.
 * Every node has every model: the longest candidate lists that a fleet of that size can have.
 */
import { LeaseLedger } from '../../src/fleet/ledger.ts';
import { newNode } from '../../src/fleet/new-node.ts';
import { observe } from '../../src/fleet/observe.ts';
import { DEFAULT_HEALTH } from '../../src/fleet/params.ts';
import { buildSnapshot } from '../../src/fleet/snapshot.ts';
import type { ModelOnDisk, NodeRecord, Observation, ResidentModel } from '../../src/fleet/types.ts';
import type { RouteRequest } from '../../src/request/types.ts';
import { DEFAULT_ROUTING } from '../../src/routing/params.ts';
import { rank } from '../../src/routing/rank.ts';

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
  return {
    endpoint: { path: '/api/chat', family: 'ollama', operation: 'chat', acceptsName: true },
    model: { raw: name(model), key: name(model) },
    stream: true,
    numCtx: undefined,
    unloads: false,
    bodyBytes: 600,
  };
}

function quantile(sorted: Float64Array, share: number): string {
  return `${(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0).toFixed(4)} ms`;
}

function measure(rounds: number, run: (round: number) => void): { p50: string; p99: string } {
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
for (const size of [3, 100, 1_000, 10_000]) {
  const records = Array.from({ length: size }, (_, i) => node(i));
  const ledger = new LeaseLedger();
  for (let i = 0; i < size; i += 1) ledger.take(`lease-${i}`, `node-${(i * 13) % size}`, name(i % MODELS), 0);
  const snapshot = buildSnapshot(records, 1, 0, DEFAULT_HEALTH);
  const ranked = measure(size > 1_000 ? 400 : 5_000, (i) => {
    rank(request(i % MODELS), snapshot, ledger, DEFAULT_ROUTING, Math.random, 10);
  });
  let previous = snapshot;
  const poll: Observation = { kind: 'resident', models: [loaded(0), loaded(1)], rttMs: 1 };
  const rebuilt = measure(size > 1_000 ? 100 : 1_000, (i) => {
    const at = i % size;
    records[at] = observe(records[at] ?? node(at), poll, DEFAULT_HEALTH, i);
    previous = buildSnapshot(records, i, i, DEFAULT_HEALTH, previous);
  });
  const whole = measure(20, (i) => {
    buildSnapshot(records, i, i, DEFAULT_HEALTH);
  });
  rows[`${size} nodes x ${MODELS} models`] = {
    'rank p50': ranked.p50,
    'rank p99': ranked.p99,
    'rebuild after one poll p50': rebuilt.p50,
    'p99 ': rebuilt.p99,
    'index from nothing p50': whole.p50,
  };
}
console.table(rows);
