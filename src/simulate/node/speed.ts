import type { SimModelSpec, SimNodeSpec } from '../types.ts';
import type { SimRunner } from './runner.ts';

/** A model of one billion parameters at 4 bits, in bytes: what nodes' rates are stated for. */
export const UNIT_BYTES = 0.6 * 1024 ** 3;
/** What does not fit into VRAM is worked off by the CPU, so many times slower. */
const CPU_FACTOR = 10;
const DEFAULT_LOAD_START_MS = 700;
const DEFAULT_BATCH_COST = 0.25;
const DEFAULT_CONTENTION = 1;

/** Tokens per ms of the model alone on an idle node. */
export function baseRate(tokensPerSecond: number, model: SimModelSpec, onGpu: number): number {
  const slowdown = onGpu + (1 - onGpu) * CPU_FACTOR;
  return (tokensPerSecond * UNIT_BYTES) / model.sizeBytes / slowdown / 1000;
}

/** What a load takes that waits for nothing. */
export function loadMs(node: SimNodeSpec, model: SimModelSpec): number {
  return (node.loadStartMs ?? DEFAULT_LOAD_START_MS) + (model.sizeBytes / node.loadBytesPerSecond) * 1000;
}

/** Share of a loaded model that lies in VRAM; 1 where the node has none, whose rates are those of its CPU. */
export function gpuShare(runner: SimRunner, node: SimNodeSpec): number {
  if (node.vramBytes <= 0 || runner.sizeBytes <= 0) return 1;
  return runner.vramBytes / runner.sizeBytes;
}

/**
 * How fast each running request is, in [0, 1], when `running` of them share the model and `models` models are at work:
 * a batch does more together than one alone but less than so many; models take turns on the GPU.
 */
export function sharedSpeed(node: SimNodeSpec, running: number, models: number): number {
  const batch = 1 + (node.batchCost ?? DEFAULT_BATCH_COST) * (running - 1);
  const turns = 1 + (node.contention ?? DEFAULT_CONTENTION) * (models - 1);
  return 1 / (batch * turns);
}

/** Sets the present rate of each running request, tokens per ms. */
export function setRates(node: SimNodeSpec, loaded: ReadonlyMap<string, SimRunner>): void {
  let models = 0;
  for (const runner of loaded.values()) if (runner.running > 0) models += 1;
  for (const runner of loaded.values()) {
    if (runner.running === 0) continue;
    const share = gpuShare(runner, node);
    const speed = sharedSpeed(node, runner.running, models);
    // Prompts are read at the GPU's full compute: two at once take twice as long.
    const isShared = (node.batchCost ?? DEFAULT_BATCH_COST) > 0;
    const reading = isShared ? Math.max(1, runner.reading) : 1;
    const prompt = (baseRate(node.promptTokensPerSecond, runner.model, share) * speed) / reading;
    const answer = baseRate(node.answerTokensPerSecond, runner.model, share) * speed;
    for (const job of runner.slots)
      if (job !== undefined) job.rate = job.state === 'prompt' ? prompt : answer;
  }
}
