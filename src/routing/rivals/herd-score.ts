import type { ModelKey, NodeId, NodeView } from '../../fleet/types.ts';
import type { RouteRequest } from '../../request/types.ts';
import { lowest } from './fit.ts';
import { modelBytes } from './model-bytes.ts';
import type { RivalPolicy, RivalSituation } from './types.ts';

const GB = 1024 ** 3;
/** For so long the files of an unloaded model are believed to be in the page cache. */
const WARM_MS = 1_800_000;
const DEFAULT_GB = 10;

/** The points of one node, signal by signal. */
export interface HerdPoints {
  readonly thermal: number;
  readonly memoryFit: number;
  readonly queueDepth: number;
  readonly waitTime: number;
  readonly roleAffinity: number;
  readonly contextFit: number;
}

/**
 * ollama-herd's scoring engine with its default weights: the node with the most points; requests wait in a queue for each
 * node and model, and a rebalancer moves waiting ones. Nodes without memory for a model that is not loaded are out; where
 * that leaves nobody we let it choose among all (it would answer 503 after 30 s). The signal of a laptop whose owner comes
 * and goes (availability) is the same on all nodes here, so it is left out.
 */
export class HerdScore implements RivalPolicy {
  readonly name = 'herd-score';
  readonly queue = 'per_node_model';
  readonly stripsContext = true;
  readonly rebalance = { everyMs: 5_000, from: 4, most: 3 };
  /** When a model was last seen in a node's memory. */
  readonly #seen = new Map<NodeId, Map<ModelKey, number>>();

  choose(request: RouteRequest, situation: RivalSituation): NodeId {
    for (const node of situation.fit) this.#note(node, request.model.key, situation.now);
    const pick = (node: NodeView): number => -total(this.points(node, request, situation));
    const survivors = situation.fit.filter((node) => hasRoom(node, request.model.key));
    return lowest(survivors.length === 0 ? situation : { ...situation, fit: survivors }, pick).id;
  }

  points(node: NodeView, request: RouteRequest, situation: RivalSituation): HerdPoints {
    const model = request.model.key;
    const depth = situation.queued(node.id, model) + situation.inflight.onModel(node.id, model);
    const sizeGb = (modelBytes(node, model) ?? DEFAULT_GB * GB) / GB;
    return {
      thermal: this.#thermal(node, model, situation.now),
      memoryFit: memoryFit(node, model),
      queueDepth: -Math.min(30, 6 * depth),
      waitTime: -Math.min(25, (depth * answerSeconds(node, model, sizeGb)) / 10),
      roleAffinity: roleAffinity(sizeGb, (node.vramTotalBytes ?? 0) / GB),
      contextFit: contextFit(node.warm.get(model)?.contextLength, Math.ceil(request.promptBytes / 4)),
    };
  }

  #note(node: NodeView, model: ModelKey, now: number): void {
    if (!node.warm.has(model)) return;
    const seen = this.#seen.get(node.id);
    if (seen === undefined) this.#seen.set(node.id, new Map([[model, now]]));
    else seen.set(model, now);
  }

  #thermal(node: NodeView, model: ModelKey, now: number): number {
    if (node.warm.has(model)) return 50;
    const seen = this.#seen.get(node.id)?.get(model);
    return seen !== undefined && now - seen < WARM_MS ? 30 : 10;
  }
}

function total(points: HerdPoints): number {
  const { thermal, memoryFit, queueDepth, waitTime, roleAffinity, contextFit } = points;
  return thermal + memoryFit + queueDepth + waitTime + roleAffinity + contextFit;
}

/** Free memory over the model's size; undefined where the node's memory is not known. */
function roomRatio(node: NodeView, model: ModelKey): number | undefined {
  const bytes = modelBytes(node, model);
  if (node.vramTotalBytes === undefined || bytes === undefined || bytes <= 0) return undefined;
  return (node.vramTotalBytes - node.vramUsedBytes) / bytes;
}

function hasRoom(node: NodeView, model: ModelKey): boolean {
  return node.warm.has(model) || (roomRatio(node, model) ?? 1) >= 1;
}

function memoryFit(node: NodeView, model: ModelKey): number {
  if (node.warm.has(model)) return 20;
  const ratio = roomRatio(node, model) ?? 0;
  if (ratio > 2) return 20;
  if (ratio > 1.5) return 15;
  if (ratio > 1.2) return 8;
  return ratio >= 1 ? 3 : 0;
}

/** The upper quartile of what answers took; before the first, its own guess from the model's size. */
function answerSeconds(node: NodeView, model: ModelKey, sizeGb: number): number {
  const held = node.figures.get(model)?.heldMs;
  // Of a bell curve, a quarter lies more than 0.85 mean deviations above its middle.
  return held === undefined ? Math.max(1, sizeGb) : (held.value + 0.85 * held.spread) / 1000;
}

/** Large models to large machines, small ones to small machines. */
function roleAffinity(sizeGb: number, nodeGb: number): number {
  if (sizeGb > 20) {
    if (nodeGb >= 128) return 15;
    return nodeGb >= 32 ? 5 : 0;
  }
  if (sizeGb >= 8) return 5;
  if (nodeGb <= 32) return 15;
  return nodeGb <= 128 ? 8 : 3;
}

function contextFit(context: number | undefined, tokens: number): number {
  if (context === undefined || tokens <= 0) return 0;
  const ratio = context / tokens;
  if (ratio < 1) return -15;
  if (ratio < 1.5) return 3;
  if (ratio < 3) return 7.5;
  return ratio < 8 ? 12 : 15;
}
