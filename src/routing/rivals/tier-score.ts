import type { ModelKey, NodeId, NodeView } from '../../fleet/types.ts';
import type { RouteRequest } from '../../request/types.ts';
import { lowest } from './fit.ts';
import { modelBytes } from './model-bytes.ts';
import type { RivalPolicy, RivalSituation } from './types.ts';

const GB = 1024 ** 3;
/** Its points of each tier; the lowest sum is served first. */
export const TIER = { loaded: 0, fitsAlongside: 200, smallSwap: 400, largeSwap: 800 } as const;
const LARGE_BYTES = 40 * GB;
/** Points for each request of a client that waits or came lately, and the most they come to. */
const PER_REQUEST = 5;
const MOST_FOR_REQUESTS = 100;
const RECENT_MS = 600_000;

/**
 * ollama_smart_proxy: one line before everything. Whenever a slot is free the request with the lowest sum goes: the tier of
 * its model (in memory, fits beside, small or large swap), plus what its client has asked for lately, minus a point for
 * each second waited, never below 0. It fronts one Ollama; for a fleet a request is left to another free node that is of a
 * better tier for it.
 */
export class TierScore implements RivalPolicy {
  readonly name = 'tier-score';
  readonly queue = 'central';
  readonly #seen = new WeakSet<RouteRequest>();
  /** When each client's requests of the last minutes came. */
  readonly #history = new Map<string, number[]>();

  choose(request: RouteRequest, situation: RivalSituation): NodeId {
    // Between nodes of one tier, the one with less to do: thousandths of a point decide nothing else.
    return lowest(
      situation,
      (node) => tier(node, request.model.key) + situation.inflight.onNode(node.id) / 1000,
    ).id;
  }

  next(
    node: NodeView,
    waiting: readonly RouteRequest[],
    waitedMs: readonly number[],
    situation: RivalSituation,
    callers: readonly string[],
  ): number | undefined {
    this.#note(waiting, waitedMs, situation.now, callers);
    const queued = new Map<string, number>();
    for (const caller of callers) queued.set(caller, (queued.get(caller) ?? 0) + 1);
    const fairness = new Map<string, number>();
    for (const [caller, count] of queued) {
      fairness.set(
        caller,
        Math.min(PER_REQUEST * (count + this.#recent(caller, situation.now)), MOST_FOR_REQUESTS),
      );
    }
    const free = situation.snapshot.nodes.filter((other) => other.id !== node.id && isFree(other, situation));
    const tiers = new Map<ModelKey, number | undefined>();
    let best: number | undefined;
    let bestScore = Number.POSITIVE_INFINITY;
    for (const [index, request] of waiting.entries()) {
      const model = request.model.key;
      if (!tiers.has(model)) tiers.set(model, tierHere(node, model, free, situation));
      const base = tiers.get(model);
      if (base === undefined) continue;
      const waited = Math.floor((waitedMs[index] ?? 0) / 1000);
      const score = Math.max(0, base + (fairness.get(callers[index] ?? '') ?? 0) - waited);
      if (score >= bestScore) continue;
      best = index;
      bestScore = score;
    }
    return best;
  }

  /** Writes down who asked when; a request is written down once, however often it is looked at. */
  #note(
    waiting: readonly RouteRequest[],
    waitedMs: readonly number[],
    now: number,
    callers: readonly string[],
  ): void {
    for (const [index, request] of waiting.entries()) {
      if (this.#seen.has(request)) continue;
      this.#seen.add(request);
      const caller = callers[index] ?? '';
      const times = this.#history.get(caller) ?? [];
      times.push(now - (waitedMs[index] ?? 0));
      this.#history.set(caller, times);
    }
  }

  #recent(caller: string, now: number): number {
    const times = this.#history.get(caller) ?? [];
    const old = times.findIndex((at) => now - at < RECENT_MS);
    times.splice(0, old === -1 ? times.length : old);
    return times.length;
  }
}

/** Undefined: the node cannot serve it, or another free one is better placed to. */
function tierHere(
  node: NodeView,
  model: ModelKey,
  free: readonly NodeView[],
  { snapshot }: RivalSituation,
): number | undefined {
  if (!hasModel(node, model)) return undefined;
  // VRAM is a hard limit, unless no node keeps it.
  if (!holds(node, model) && snapshot.nodes.some((other) => hasModel(other, model) && holds(other, model))) {
    return undefined;
  }
  const here = tier(node, model);
  return free.some((other) => hasModel(other, model) && tier(other, model) < here) ? undefined : here;
}

function hasModel(node: NodeView, model: ModelKey): boolean {
  return node.models.has(model) || node.warm.has(model);
}

function holds(node: NodeView, model: ModelKey): boolean {
  return node.vramTotalBytes === undefined || (modelBytes(node, model) ?? 0) <= node.vramTotalBytes;
}

function isFree(node: NodeView, { inflight }: RivalSituation): boolean {
  const isUp = node.status === 'ready' || node.status === 'suspect';
  return isUp && inflight.onNode(node.id) < node.slots;
}

/** Where the VRAM is not known, nothing is believed to fit beside what is there. */
function tier(node: NodeView, model: ModelKey): number {
  if (node.warm.has(model)) return TIER.loaded;
  const bytes = modelBytes(node, model) ?? 0;
  const total = node.vramTotalBytes;
  if (node.warm.size === 0 || (total !== undefined && node.vramUsedBytes + bytes <= total)) {
    return TIER.fitsAlongside;
  }
  return bytes > LARGE_BYTES ? TIER.largeSwap : TIER.smallSwap;
}
