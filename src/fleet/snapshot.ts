import { fadedFailureRate } from './failure-rate.ts';
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

const views = new WeakMap<NodeRecord, NodeView>();

function viewOf(node: NodeRecord, params: FleetParams, now: number): NodeView {
  const admitted = admission(node.health, params, now);
  const failureRate = fadedFailureRate(node.health, now);
  const earlier = views.get(node);
  if (earlier?.admission === admitted && earlier.failureRate === failureRate) return earlier;
  const { spec, health, learnt, seenAt } = node;
  const memory = memoryOf(node.models, node.resident);
  const view: NodeView = {
    id: spec.id,
    address: node.address,
    status: spec.drain || node.drains.size > 0 ? 'draining' : health.status,
    admission: admitted,
    weight: spec.weight,
    slots: spec.slots ?? learnt.slots,
    slotsSource: spec.slots === undefined ? 'learnt' : 'configured',
    rttMs: node.rttMs ?? 0,
    failureRate,
    busyUntil: health.busyUntil,
    stuckModels: health.stuckModels,
    models: node.models,
    warm: memory.warm,
    version: node.version,
    vramTotalBytes: spec.vramBytes,
    vramSource: spec.vramBytes === undefined ? 'unknown' : 'configured',
    vramAt: undefined,
    vramUsedBytes: memory.vramUsedBytes,
    maxVramSeenBytes: learnt.maxVramSeenBytes,
    loadBytesPerSecond: learnt.loadBytesPerSecond,
    serviceMs: learnt.serviceMs,
    residentAt: seenAt.resident,
    tagsAt: seenAt.tags,
  };
  views.set(node, view);
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
