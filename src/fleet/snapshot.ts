import { fadedFailureRate } from './failure-rate.ts';
import { freshReports, isThrottled, slotsOf, vramOf } from './gpu.ts';
import { ModelIndex } from './model-index.ts';
import type { FleetParams } from './params.ts';
import { admission } from './slow-start.ts';
import type {
  FleetSnapshot,
  ModelKey,
  ModelOnDisk,
  NodeId,
  NodeRecord,
  NodeView,
  ResidentModel,
} from './types.ts';

/**
 * The fleet as routing reads it. Views, and everything derived from tag lists, are taken over from `previous` where
 * the record behind them has not changed: a rebuild costs about as much as changed since.
 */
export function buildSnapshot(
  nodes: Iterable<NodeRecord>,
  version: number,
  now: number,
  params: FleetParams,
  previous?: FleetSnapshot,
): FleetSnapshot {
  const views: NodeView[] = [];
  const byId = new Map<NodeId, NodeView>();
  for (const node of nodes) {
    const view = viewOf(node, params, now);
    views.push(view);
    byId.set(view.id, view);
  }
  return { version, at: now, nodes: views, byId, byModel: new ModelIndex(views, previous?.byModel) };
}

interface Viewed {
  readonly view: NodeView;
  /** How many of the record's GPU reports were fresh: more or fewer make another view. */
  readonly reports: number;
}

const views = new WeakMap<NodeRecord, Viewed>();

/** A node as routing sees it at `now`: the same object as long as nothing about it changes. */
export function viewOf(node: NodeRecord, params: FleetParams, now: number): NodeView {
  const admitted = admission(node.health, params, now);
  const failureRate = fadedFailureRate(node.health, now);
  const fresh = freshReports(node.gpu, now);
  const earlier = views.get(node);
  if (
    earlier?.view.admission === admitted &&
    earlier.view.failureRate === failureRate &&
    earlier.reports === fresh.length
  ) {
    return earlier.view;
  }
  const { spec, health, learnt, seenAt } = node;
  const memory = memoryOf(node.models, node.resident);
  const vram = vramOf(node, fresh, memory.vramUsedBytes);
  const slots = slotsOf(node, fresh);
  const view: NodeView = {
    id: spec.id,
    address: node.address,
    status: spec.drain || node.drains.size > 0 ? 'draining' : health.status,
    admission: admitted,
    weight: spec.weight,
    slots: slots.slots,
    slotsSource: slots.source,
    rttMs: node.rttMs ?? 0,
    failureRate,
    busyUntil: health.busyUntil,
    stuckModels: health.stuckModels,
    models: node.models,
    warm: memory.warm,
    version: node.version,
    vramTotalBytes: vram.totalBytes,
    vramSource: vram.source,
    vramAt: vram.at,
    isThrottled: isThrottled(fresh),
    gpu: fresh[0],
    vramUsedBytes: vram.usedBytes,
    maxVramSeenBytes: learnt.maxVramSeenBytes,
    loadedBytes: node.loadedBytes,
    sentContexts: node.sentContexts,
    loadBytesPerSecond: learnt.loadBytesPerSecond,
    figures: learnt.figures,
    servedAt: health.servedAt,
    probeSlotsAt: slots.source === 'learnt' ? learnt.probeSlotsAt : Number.POSITIVE_INFINITY,
    residentAt: seenAt.resident,
    tagsAt: seenAt.tags,
  };
  views.set(node, { view, reports: fresh.length });
  return view;
}

interface Memory {
  readonly models: NodeRecord['models'];
  readonly warm: ReadonlyMap<ModelKey, ResidentModel>;
  readonly vramUsedBytes: number;
}

/** By the resident list, which keeps its identity while a node's memory stays as it is. */
const memories = new WeakMap<NodeRecord['resident'], Memory>();

function memoryOf(models: NodeRecord['models'], resident: NodeRecord['resident']): Memory {
  const earlier = memories.get(resident);
  if (earlier?.models === models) return earlier;
  let vramUsedBytes = 0;
  for (const model of resident.values()) vramUsedBytes += model.vramBytes;
  const memory: Memory = { models, warm: withAliases(models, resident), vramUsedBytes };
  memories.set(resident, memory);
  return memory;
}

/** Ollama lists a loaded model once, under the name it was first called by; copies with its digest are just as warm. */
function withAliases(
  models: ReadonlyMap<ModelKey, ModelOnDisk>,
  resident: ReadonlyMap<ModelKey, ResidentModel>,
): ReadonlyMap<ModelKey, ResidentModel> {
  if (resident.size === 0) return resident;
  const byDigest = new Map<string, ResidentModel>();
  for (const model of resident.values()) if (model.digest !== '') byDigest.set(model.digest, model);
  const warm = new Map(resident);
  for (const model of models.values()) {
    const loaded = byDigest.get(model.digest);
    if (loaded !== undefined && !warm.has(model.key)) warm.set(model.key, loaded);
  }
  return warm;
}
