import { slotsAfter } from './learn-slots.ts';
import type { Learnt, ModelKey, ModelOnDisk, ServiceTimes } from './types.ts';

const SERVICE_WEIGHT = 0.2;
/** Smaller changes of a smoothed figure are dropped: most answers then change nothing, and no snapshot is rebuilt. */
const NOTICEABLE = 0.02;
const MAX_MODELS = 256;
const MAX_SERVICE_MS = 3_600_000;
/** Below this size a load is all process start and says nothing of the rate. */
const MIN_LOAD_BYTES = 64 * 1024 ** 2;
/** Part of a load that does not depend on the size: process start, probing of the GPUs. */
const LOAD_START_MS = 500;
const MIN_LOAD_MS = 50;
const MIN_RATE = 1024 ** 2;
const MAX_RATE = 100 * 1024 ** 3;
/** A load may contain a wait for other requests to end, so fast ones tell more of the disk than slow ones. */
const FASTER_WEIGHT = 0.5;
const SLOWER_WEIGHT = 0.2;

/** What one served request teaches. `onDisk` is the model's entry in the node's tag list, if it has one. */
export function learn(
  learnt: Learnt,
  model: ModelKey,
  onDisk: ModelOnDisk | undefined,
  service: ServiceTimes,
): Learnt {
  const slots = slotsAfter(learnt.slots, service);
  const loadBytesPerSecond = loadRateAfter(learnt.loadBytesPerSecond, onDisk, service);
  const serviceMs = serviceAfter(learnt.serviceMs, model, learnt.slots, service);
  const isSame =
    slots === learnt.slots &&
    loadBytesPerSecond === learnt.loadBytesPerSecond &&
    serviceMs === learnt.serviceMs;
  return isSame ? learnt : { ...learnt, slots, loadBytesPerSecond, serviceMs };
}

/** How long the request held its slot: its own work, without loading and waiting. */
function heldSlotMs(slots: number, service: ServiceTimes): number | undefined {
  const { totalMs, loadMs, promptEvalMs, evalMs, concurrency, wasWarm } = service;
  if (promptEvalMs !== undefined && evalMs !== undefined) return promptEvalMs + evalMs;
  if (loadMs === undefined && !wasWarm) return undefined;
  // No durations from the node: with a queue before it, the request had about this share of its time for itself.
  const ownShare = Math.min(1, slots / Math.max(1, concurrency));
  return Math.max(0, totalMs - (loadMs ?? 0)) * ownShare;
}

function serviceAfter(
  known: Learnt['serviceMs'],
  model: ModelKey,
  slots: number,
  service: ServiceTimes,
): Learnt['serviceMs'] {
  const heldMs = heldSlotMs(slots, service);
  if (heldMs === undefined || !(heldMs >= 0)) return known;
  const before = known.get(model);
  const sample = Math.min(MAX_SERVICE_MS, heldMs);
  const next = before === undefined ? sample : before + (sample - before) * SERVICE_WEIGHT;
  if (before !== undefined && Math.abs(next - before) <= NOTICEABLE * before) return known;
  const changed = new Map(known);
  changed.delete(model); // re-inserted at the end: the first entry is the one longest unchanged
  changed.set(model, next);
  for (const oldest of changed.keys()) {
    if (changed.size <= MAX_MODELS) break;
    changed.delete(oldest);
  }
  return changed;
}

function loadRateAfter(
  known: number | undefined,
  onDisk: ModelOnDisk | undefined,
  { wasWarm, loadMs }: ServiceTimes,
): number | undefined {
  if (wasWarm || onDisk === undefined || loadMs === undefined) return known;
  if (onDisk.sizeBytes < MIN_LOAD_BYTES || !(loadMs >= MIN_LOAD_MS)) return known;
  const readingMs = Math.max(loadMs - LOAD_START_MS, loadMs / 10);
  const sample = Math.min(MAX_RATE, Math.max(MIN_RATE, (onDisk.sizeBytes / readingMs) * 1000));
  if (known === undefined) return sample;
  const weight = sample > known ? FASTER_WEIGHT : SLOWER_WEIGHT;
  return known + (sample - known) * weight;
}
