import { ModelIndex } from '../../../src/fleet/model-index.ts';
import type { FleetSnapshot, ModelOnDisk, NodeView, ResidentModel } from '../../../src/fleet/types.ts';
import { plainRequest } from '../../../src/request/plain-request.ts';
import type { ApiFamily, Operation, RouteRequest } from '../../../src/request/types.ts';
import { DEFAULT_ROUTING } from '../../../src/routing/params.ts';
import type { Inflight, Situation } from '../../../src/routing/types.ts';
import { GIB, onDisk, resident } from '../fleet/builders.ts';

export { GIB, onDisk, resident };

/** The model that tests ask for: 5 GiB on disk, about 10 s of loading at the default rate. */
export const MODEL = 'm:latest';
export const NOW = 1_000_000;
/** No test depends on chance unless it says so. */
export const noChance = (): number => 0.5;

interface NodeFields extends Omit<Partial<NodeView>, 'models' | 'warm'> {
  /** On disk besides the resident ones; the asked model by default. */
  readonly models?: readonly ModelOnDisk[];
  readonly warm?: readonly ResidentModel[];
}

/** A healthy node that has the model on disk, nothing in memory, and unknown VRAM. */
export function node(id: string, fields: NodeFields = {}): NodeView {
  const { models = [onDisk(MODEL)], warm = [], ...rest } = fields;
  const all = [...models, ...warm.filter(({ key }) => key !== MODEL).map(({ key }) => onDisk(key))];
  return {
    id,
    address: `10.0.0.${id.replace(/\D/g, '') || '1'}:11434`,
    status: 'ready',
    admission: 1,
    weight: 1,
    slots: 1,
    slotsSource: 'learnt',
    rttMs: 1,
    failureRate: 0,
    busyUntil: 0,
    stuckModels: new Map(),
    models: new Map(all.map((model) => [model.key, model])),
    warm: new Map(warm.map((model) => [model.key, model])),
    version: '0.24.0',
    vramTotalBytes: undefined,
    vramSource: 'unknown',
    vramAt: undefined,
    isThrottled: false,
    vramUsedBytes: warm.reduce((sum, { vramBytes }) => sum + vramBytes, 0),
    maxVramSeenBytes: 0,
    loadBytesPerSecond: undefined,
    figures: new Map(),
    probeSlotsAt: Number.POSITIVE_INFINITY,
    servedAt: NOW,
    residentAt: NOW,
    tagsAt: NOW,
    ...rest,
  };
}

export function warmNode(id: string, fields: NodeFields = {}): NodeView {
  return node(id, { ...fields, warm: [resident(MODEL), ...(fields.warm ?? [])] });
}

export function snapshot(...nodes: NodeView[]): FleetSnapshot {
  return {
    version: 1,
    at: NOW,
    nodes,
    byId: new Map(nodes.map((view) => [view.id, view])),
    byModel: new ModelIndex(nodes, undefined),
  };
}

export function request(
  fields: Partial<RouteRequest> & { path?: string; family?: ApiFamily; operation?: Operation } = {},
): RouteRequest {
  const { path = '/api/chat', family = 'ollama', operation = 'chat', ...rest } = fields;
  return plainRequest(
    { path, family, operation, acceptsName: false },
    { raw: 'm', key: MODEL },
    { bodyBytes: 300, promptBytes: 200, ...rest },
  );
}

/** Running requests of other replicas, of which only the number is known, written `{ n1: { 'm:latest': 2 } }`. */
export function running(counts: Record<string, Record<string, number>> = {}): Inflight {
  return {
    onNode: (id) => Object.values(counts[id] ?? {}).reduce((sum, count) => sum + count, 0),
    onModel: (id, model) => counts[id]?.[model] ?? 0,
    nodesRunning: (model) => Object.keys(counts).filter((id) => (counts[id]?.[model] ?? 0) > 0),
    expectedEnds: () => [],
  };
}

/** Running requests of this replica: when they are expected to end, in seconds from `NOW`. */
export function ending(ends: Record<string, Record<string, readonly number[]>>): Inflight {
  const counts = Object.entries(ends).map(([id, models]) => [
    id,
    Object.fromEntries(Object.entries(models).map(([key, list]) => [key, list.length])),
  ]);
  return {
    ...running(Object.fromEntries(counts)),
    expectedEnds: (id, model) => (ends[id]?.[model] ?? []).map((seconds) => NOW + seconds * 1000),
  };
}

/** All that a decision looks at; nobody waits, nothing was asked for before, no prompt is remembered. */
export function situation(of: FleetSnapshot, fields: Partial<Situation> = {}): Situation {
  return {
    snapshot: of,
    inflight: running(),
    demand: { perSecond: () => 0 },
    prompts: { cachedBytes: () => 0 },
    waiting: { ahead: () => 0 },
    params: DEFAULT_ROUTING,
    random: noChance,
    now: NOW,
    ...fields,
  };
}
