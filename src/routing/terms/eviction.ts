import type { NodeView, ResidentModel } from '../../fleet/types.ts';
import type { Facts } from '../facts.ts';
import type { RoutingParams } from '../params.ts';
import type { Inflight, PickReason } from '../types.ts';
import { wholeLoadSeconds } from './load.ts';

export type Placement = Extract<PickReason, 'loads_beside' | 'loads_evicting' | 'loads_unknown'>;

/**
 * Where a cold model would go. No API of Ollama tells the VRAM of a node: an agent, an exporter or the configuration does,
 * or it is learnt from evictions, or all that is known is the most that was ever seen in use.
 */
export function placementOf(facts: Facts, params: RoutingParams): Placement {
  const { node } = facts;
  const loaded = loadedCount(node);
  if (loaded === 0) return 'loads_beside';
  const afterBytes = node.vramUsedBytes + facts.sizeBytes * params.vramPerDiskByte;
  const total = node.vramTotalBytes;
  if (total !== undefined && afterBytes > total) return 'loads_evicting';
  if (loaded >= params.usualLoadedModels) return 'loads_unknown';
  if (total !== undefined) return 'loads_beside';
  return afterBytes <= node.maxVramSeenBytes ? 'loads_beside' : 'loads_unknown';
}

/**
 * Seconds that others lose when this load drives their models out: the time to load them again, times the chance that
 * they are asked for. A model that runs requests of ours is sure to be, and its requests must end first, which is our
 * own wait. Where it is not known whether anything must go, the cost is weighed with its chance.
 */
export function evictionSeconds(facts: Facts, inflight: Inflight, params: RoutingParams): number {
  if (facts.state !== 'cold') return 0;
  const { node } = facts;
  const needBytes = facts.sizeBytes * params.vramPerDiskByte;
  const total = node.vramTotalBytes;
  // A learnt total is what was seen to fit: a larger model may fit as well, once all others are gone.
  const isTold = total !== undefined && node.vramSource !== 'learnt';
  const oversize = isTold && needBytes > total - othersBytes(node) ? params.oversizeSeconds : 0;
  const placement = placementOf(facts, params);
  if (placement === 'loads_beside') return oversize;
  if (placement === 'loads_evicting' && total !== undefined) {
    return oversize + victimsSeconds(facts, needBytes - (total - node.vramUsedBytes), inflight, params);
  }
  const isFull = loadedCount(node) >= params.usualLoadedModels && total === undefined;
  const chance = isFull ? params.fullEviction : params.unknownEviction;
  // With room in VRAM only the number of models is the limit: one of them goes.
  const toFreeBytes = total === undefined ? needBytes : 1;
  return chance * victimsSeconds(facts, toFreeBytes, inflight, params);
}

/** Ollama unloads idle models first, the next to expire before the others. */
function victimsSeconds(
  facts: Facts,
  toFreeBytes: number,
  inflight: Inflight,
  params: RoutingParams,
): number {
  const { node } = facts;
  const busy: ResidentModel[] = [];
  const idle: ResidentModel[] = [];
  for (const [key, model] of node.warm) {
    if (key !== model.key) continue; // an alias
    const list = facts.onNode > 0 && inflight.onModel(node.id, key) > 0 ? busy : idle;
    list.push(model);
  }
  let freedBytes = 0;
  let seconds = 0;
  for (const model of idle.sort(byExpiry)) {
    if (freedBytes >= toFreeBytes) return seconds;
    freedBytes += model.vramBytes > 0 ? model.vramBytes : model.sizeBytes;
    seconds += params.idleReuse * wholeLoadSeconds(node, model.sizeBytes, params);
  }
  let waitSeconds = 0;
  for (const model of busy.sort(byExpiry)) {
    if (freedBytes >= toFreeBytes) break;
    freedBytes += model.vramBytes > 0 ? model.vramBytes : model.sizeBytes;
    seconds += wholeLoadSeconds(node, model.sizeBytes, params);
    waitSeconds = Math.max(waitSeconds, busySeconds(node, model, inflight, params));
  }
  return seconds + waitSeconds;
}

function busySeconds(
  node: NodeView,
  model: ResidentModel,
  inflight: Inflight,
  params: RoutingParams,
): number {
  const serviceMs = node.serviceMs.get(model.key) ?? params.defaultServiceSeconds * 1000;
  const rounds = inflight.onModel(node.id, model.key) / Math.max(1, node.slots);
  return (Math.max(1, rounds) * serviceMs) / 1000;
}

/** One node writes all its times in one form, so their text sorts as they do. */
function byExpiry(a: ResidentModel, b: ResidentModel): number {
  if (a.expiresAt === b.expiresAt) return 0;
  return a.expiresAt < b.expiresAt ? -1 : 1;
}

/** What other programs take, games say: no model that goes gives it back. */
function othersBytes(node: NodeView): number {
  let bytes = node.vramUsedBytes;
  for (const [key, model] of node.warm) if (key === model.key) bytes -= model.vramBytes;
  return Math.max(0, bytes);
}

function loadedCount(node: NodeView): number {
  if (node.warm.size === 0) return 0;
  let count = 0;
  for (const [key, model] of node.warm) if (key === model.key) count += 1;
  return count;
}
