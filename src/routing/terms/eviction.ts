import type { NodeView, ResidentModel } from '../../fleet/types.ts';
import type { Facts } from '../facts.ts';
import type { RoutingParams } from '../params.ts';
import type { Question } from '../question.ts';
import { usualHeldSeconds } from '../service.ts';
import type { PickReason } from '../types.ts';
import { secondsLeft } from './slot-wait.ts';
import { lossOf } from './victim.ts';

export type Placement = Extract<PickReason, 'loads_beside' | 'loads_evicting' | 'loads_unknown'>;

/** What a load takes from others. */
export interface Eviction {
  readonly placement: Placement;
  /** Seconds that others lose. */
  readonly seconds: number;
  /** Seconds that the load waits for the running requests of models that must go. */
  readonly waitSeconds: number;
}

const NOTHING: Eviction = { placement: 'loads_beside', seconds: 0, waitSeconds: 0 };

/** The model is in memory, or will be without this request. */
export function evictionOf(facts: Facts, question: Question): Eviction {
  if (facts.state !== 'cold') return NOTHING;
  const { node } = facts;
  const { params } = question;
  const needBytes = neededBytes(facts, question);
  const total = node.vramTotalBytes;
  // A learnt total is what was seen to fit: a larger model may fit as well, once all others are gone.
  const isTold = total !== undefined && node.vramSource !== 'learnt';
  const oversize = isTold && needBytes > total - othersBytes(node) ? params.oversizeSeconds : 0;
  const crowd = params.crowdShare * question.loads * facts.service.loadSeconds + oversize;
  const placement = placementOf(node, needBytes, params);
  if (placement === 'loads_beside') return { placement, seconds: crowd, waitSeconds: 0 };
  if (placement === 'loads_evicting' && total !== undefined) {
    const victims = victimsOf(facts, needBytes - (total - node.vramUsedBytes), question);
    return { placement, seconds: crowd + victims.seconds, waitSeconds: victims.waitSeconds };
  }
  const isFull = loadedCount(node) >= mostLoaded(node, params);
  const chance = isFull ? params.fullEviction : params.unknownEviction;
  // With room in VRAM only the number of models is the limit: one of them goes.
  const victims = victimsOf(facts, total === undefined ? needBytes : 1, question);
  return {
    placement,
    seconds: crowd + chance * victims.seconds,
    waitSeconds: chance * victims.waitSeconds,
  };
}

/**
 * Where a cold model would go. No API of Ollama tells the VRAM of a node: an agent, an exporter or the configuration does,
 * or it is learnt from evictions, or all that is known is the most that was ever seen in use.
 */
function placementOf(node: NodeView, needBytes: number, params: RoutingParams): Placement {
  const loaded = loadedCount(node);
  if (loaded === 0) return 'loads_beside';
  const afterBytes = node.vramUsedBytes + needBytes;
  const total = node.vramTotalBytes;
  if (total !== undefined && afterBytes > total) return 'loads_evicting';
  if (loaded >= mostLoaded(node, params)) return 'loads_unknown';
  if (total !== undefined) return 'loads_beside';
  return afterBytes <= node.maxVramSeenBytes ? 'loads_beside' : 'loads_unknown';
}

/** Ollama unloads idle models first, the next to expire before the others. */
function victimsOf(
  { node, onNode }: Facts,
  toFreeBytes: number,
  question: Question,
): { seconds: number; waitSeconds: number } {
  const busy: ResidentModel[] = [];
  const idle: ResidentModel[] = [];
  for (const [key, model] of node.warm) {
    if (key !== model.key) continue; // an alias
    const list = onNode > 0 && question.inflight.onModel(node.id, key) > 0 ? busy : idle;
    list.push(model);
  }
  let freedBytes = 0;
  let seconds = 0;
  for (const model of idle.sort(byExpiry)) {
    if (freedBytes >= toFreeBytes) return { seconds, waitSeconds: 0 };
    freedBytes += takenBytes(model);
    seconds += lossOf(node, model, false, question);
  }
  let waitSeconds = 0;
  for (const model of busy.sort(byExpiry)) {
    if (freedBytes >= toFreeBytes) break;
    freedBytes += takenBytes(model);
    seconds += lossOf(node, model, true, question);
    waitSeconds = Math.max(waitSeconds, busySeconds(node, model, question));
  }
  return { seconds, waitSeconds };
}

/** Until the last of its running requests has ended. */
function busySeconds(node: NodeView, { key }: ResidentModel, { inflight, params, now }: Question): number {
  const heldSeconds = usualHeldSeconds(node, key, params);
  const ends = inflight.expectedEnds(node.id, key);
  let seconds = ends.length < inflight.onModel(node.id, key) ? heldSeconds : 0;
  for (const end of ends) seconds = Math.max(seconds, secondsLeft(end, heldSeconds, params, now));
  return seconds;
}

/** One node writes all its times in one form, so their text sorts as they do; one that is not known yet has just been loaded. */
function byExpiry(a: ResidentModel, b: ResidentModel): number {
  if (a.expiresAt === b.expiresAt) return 0;
  if (a.expiresAt === '' || b.expiresAt === '') return a.expiresAt === '' ? 1 : -1;
  return a.expiresAt < b.expiresAt ? -1 : 1;
}

function takenBytes(model: ResidentModel): number {
  return model.vramBytes > 0 ? model.vramBytes : model.sizeBytes;
}

/** As it was when the model was last in the node's memory; else by its size on disk. */
function neededBytes({ node }: Facts, { request, params }: Question): number {
  const { key } = request.model;
  const seen = node.loadedBytes?.get(key);
  if (seen !== undefined) return seen;
  return (node.models.get(key)?.sizeBytes ?? params.defaultModelBytes) * params.vramPerDiskByte;
}

/** Models that the node keeps in memory at once. */
function mostLoaded({ gpu }: NodeView, params: RoutingParams): number {
  const told = gpu?.report.ollama?.maxLoadedModels;
  if (told !== undefined && told > 0) return told;
  return params.usualLoadedModels * Math.max(1, gpu?.report.gpus.length ?? 1);
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
