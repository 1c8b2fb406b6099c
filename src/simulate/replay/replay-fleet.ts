import type { RecordedRequest } from '../../app/decision-record.ts';
import type { ModelKey, NodeId } from '../../fleet/types.ts';
import { UNIT_BYTES } from '../node/speed.ts';
import type { SimModelSpec, SimNodeSpec } from '../types.ts';

/** A recording does not tell sizes: the model in the middle is taken for one of eight billion parameters at 4 bits. */
const MIDDLE_BYTES = 4.9e9;
const KV_BYTES = 128 * 1024;
const DEFAULT_CONTEXT = 4_096;
/** A load shows above this. */
const LOADED_MS = 200;
const MIN_TOKENS = 8;
const DEFAULT = { promptRate: 20_000, answerRate: 600, loadBytesPerSecond: 1e9, loadStartMs: 700 };
/** Rounds of telling nodes' speeds and models' sizes apart. */
const ROUNDS = 10;

export interface ReplayFleet {
  readonly nodes: readonly SimNodeSpec[];
  readonly models: readonly SimModelSpec[];
}

/**
 * A fleet that behaves as the one of the recording, as far as that tells: each node's speed of reading, writing and loading, how
 * heavy each model is against the others, how many requests ran at once. What it cannot tell is how much VRAM there was: models
 * are evicted by their number alone (three for each node, Ollama's default).
 */
export function replayFleet(records: readonly RecordedRequest[]): ReplayFleet {
  const nodeIds = [...new Set(records.flatMap(({ node }) => node ?? []))].sort();
  const keys = [
    ...new Set(records.filter(({ node }) => node !== undefined).map(({ target }) => target)),
  ].sort();
  const answer = speedsAndWeights(samples(records, 'answer'), nodeIds, keys);
  const prompt = samples(records, 'prompt');
  const sizes = new Map(keys.map((key) => [key, MIDDLE_BYTES * (answer.weight.get(key) ?? 1)]));
  const unitRate = (rate: number, key: ModelKey): number =>
    (rate * (sizes.get(key) ?? MIDDLE_BYTES)) / UNIT_BYTES;
  const middle = (values: readonly number[], otherwise: number): number => median(values) ?? otherwise;
  const nodes = nodeIds.map((id): SimNodeSpec => {
    const own = records.filter((record) => record.node === id);
    const promptRates = prompt
      .filter(({ node }) => node === id)
      .map(({ rate, model }) => unitRate(rate, model));
    const loads = own
      .filter((record) => (record.loadMs ?? 0) > LOADED_MS)
      .map(({ loadMs = 0, target }) => {
        const readingMs = Math.max(loadMs / 10, loadMs - DEFAULT.loadStartMs);
        return ((sizes.get(target) ?? MIDDLE_BYTES) / readingMs) * 1000;
      });
    const speed = answer.speed.get(id);
    return {
      id,
      vramBytes: 1024 ** 5,
      parallel: parallelOf(own),
      maxLoadedModels: 3,
      loadBytesPerSecond: middle(loads, DEFAULT.loadBytesPerSecond),
      loadStartMs: DEFAULT.loadStartMs,
      promptTokensPerSecond: middle(promptRates, DEFAULT.promptRate),
      answerTokensPerSecond: speed === undefined ? DEFAULT.answerRate : (speed * MIDDLE_BYTES) / UNIT_BYTES,
      rttMs: 1,
      models: keys,
      tellsVram: false,
    };
  });
  const models = keys.map((key) => ({
    key,
    sizeBytes: sizes.get(key) ?? MIDDLE_BYTES,
    kvBytesPerToken: KV_BYTES,
    defaultContext: DEFAULT_CONTEXT,
  }));
  return { nodes, models };
}

interface Sample {
  readonly node: NodeId;
  readonly model: ModelKey;
  /** Tokens per second. */
  readonly rate: number;
}

function samples(records: readonly RecordedRequest[], kind: 'prompt' | 'answer'): Sample[] {
  const found: Sample[] = [];
  for (const { node, target, promptTokens, promptEvalMs, completionTokens, evalMs } of records) {
    const tokens = kind === 'prompt' ? promptTokens : completionTokens;
    const ms = kind === 'prompt' ? promptEvalMs : evalMs;
    if (node === undefined || tokens === undefined || ms === undefined) continue;
    if (tokens >= MIN_TOKENS && ms > 0) found.push({ node, model: target, rate: (tokens / ms) * 1000 });
  }
  return found;
}

/** Tells nodes' speeds from models' weights, whose middle one is 1: a sample's rate is the one over the other. */
function speedsAndWeights(all: readonly Sample[], nodes: readonly NodeId[], models: readonly ModelKey[]) {
  const speed = new Map<NodeId, number>();
  const weight = new Map<ModelKey, number>(models.map((key) => [key, 1]));
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const node of nodes) {
      const value = median(
        all.filter((s) => s.node === node).map((s) => s.rate * (weight.get(s.model) ?? 1)),
      );
      if (value !== undefined) speed.set(node, value);
    }
    for (const model of models) {
      const value = median(
        all.filter((s) => s.model === model).map((s) => (speed.get(s.node) ?? s.rate) / s.rate),
      );
      if (value !== undefined) weight.set(model, value);
    }
    const middle = median([...weight.values()]) ?? 1;
    for (const [model, value] of weight) weight.set(model, value / middle);
    for (const [node, value] of speed) speed.set(node, value / middle);
  }
  return { speed, weight };
}

/** Most answers of one model that were written at the same time. */
function parallelOf(records: readonly RecordedRequest[]): number {
  const byModel = new Map<ModelKey, [at: number, change: number][]>();
  for (const { at, target, totalMs, evalMs } of records) {
    if (evalMs === undefined || evalMs <= 0) continue;
    const end = Date.parse(at) + totalMs;
    const edges = byModel.get(target) ?? [];
    // Clocks are read to the ms: what touches does not overlap.
    edges.push([end - evalMs + 2, 1], [end - 2, -1]);
    byModel.set(target, edges);
  }
  let most = 1;
  for (const edges of byModel.values()) {
    edges.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    let running = 0;
    for (const [, change] of edges) {
      running += change;
      most = Math.max(most, running);
    }
  }
  return most;
}

function median(values: readonly number[]): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1];
}
