import type { SimModelSpec, SimNodeSpec } from '../types.ts';
import { loadedContext } from './job.ts';
import type { SimRunner } from './runner.ts';

/** What the model takes in memory with this context: weights, and a KV cache for each slot. */
export function loadedBytes(node: SimNodeSpec, model: SimModelSpec, asked: number): number {
  return model.sizeBytes + model.kvBytesPerToken * loadedContext(model, asked) * node.parallel;
}

export function freeVram(node: SimNodeSpec, runners: Iterable<SimRunner>): number {
  let used = 0;
  for (const { vramBytes } of runners) used += vramBytes;
  return Math.max(0, node.vramBytes - used);
}

/** Whether the model may be loaded beside those in memory: alone it always may, in part on the CPU. */
export function hasRoom(
  node: SimNodeSpec,
  runners: ReadonlyMap<string, SimRunner>,
  sizeBytes: number,
): boolean {
  if (runners.size === 0) return true;
  if (runners.size >= node.maxLoadedModels) return false;
  return node.vramBytes <= 0 || sizeBytes <= freeVram(node, runners.values());
}

/**
 * The model that has to go: of the idle ones that with the shortest keep_alive, among equals that which expires first; where
 * all are busy, the one with the shortest keep_alive, as soon as it is idle.
 */
export function evictionVictim(runners: Iterable<SimRunner>): SimRunner | undefined {
  let best: SimRunner | undefined;
  for (const runner of runners) if (best === undefined || goesBefore(runner, best)) best = runner;
  return best;
}

function goesBefore(a: SimRunner, b: SimRunner): boolean {
  if (a.isBusy !== b.isBusy) return b.isBusy;
  if (a.keepAliveMs !== b.keepAliveMs) return a.keepAliveMs < b.keepAliveMs;
  if (a.lastUsedAt !== b.lastUsedAt) return a.lastUsedAt < b.lastUsedAt;
  return a.model.key < b.model.key;
}
