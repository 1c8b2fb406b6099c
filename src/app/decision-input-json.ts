import type { Candidates, FleetSnapshot, ModelKey, ModelNodes, NodeId, NodeView } from '../fleet/types.ts';
import { type DecisionInput, replayDecision } from './decision-inputs.ts';
import { overriding } from './overriding.ts';

/** A decision that looked at more nodes than that is not written down. */
const MAX_VIEWS = 500;

/** What a decision looked at of the fleet, and nothing else of it. Maps are written as `{"$map": [...]}`, sets as `{"$set": [...]}`. */
interface InputDocument {
  readonly request: DecisionInput['request'];
  readonly params: DecisionInput['situation']['params'];
  readonly now: number;
  readonly tape: DecisionInput['situation']['tape'];
  readonly snapshot: {
    readonly version: number;
    readonly at: number;
    /** Of all nodes, looked at or not. */
    readonly size: number;
    readonly heaviest: number;
    readonly unseen: readonly number[];
    /** By place in the list of nodes. */
    readonly views: readonly (readonly [place: number, view: NodeView])[];
    /** Those that were asked for. */
    readonly models: readonly (readonly [ModelKey, knowing: readonly number[], warm: readonly number[]])[];
  };
}

/**
 * A decision's input as JSON, from which `inputFromJson` makes one that is ranked in the same way; undefined where it is
 * too large. Not for the request path: the decision is made once more, to see what it looks at.
 */
export function inputToJson(input: DecisionInput): string | undefined {
  const { request, situation } = input;
  const { snapshot } = situation;
  const seen = new Set<number>();
  const asked = new Set<ModelKey>();
  replayDecision({ request, situation: { ...situation, snapshot: watched(snapshot, seen, asked) } });
  if (seen.size > MAX_VIEWS) return undefined;
  const document: InputDocument = {
    request,
    params: situation.params,
    now: situation.now,
    tape: situation.tape,
    snapshot: {
      version: snapshot.version,
      at: snapshot.at,
      size: snapshot.nodes.length,
      heaviest: snapshot.byModel.heaviest,
      unseen: [...snapshot.byModel.unseen],
      views: [...seen].flatMap((at) => {
        const view = snapshot.nodes[at];
        return view === undefined ? [] : [[at, reduced(view, asked)] as const];
      }),
      models: [...asked].flatMap((key) => {
        const candidates = snapshot.byModel.candidates(key);
        return candidates === undefined
          ? []
          : [[key, [...candidates.knowing], [...candidates.warm]] as const];
      }),
    },
  };
  return JSON.stringify(plain(document));
}

/** Of text that `inputToJson` made; throws for any other. */
export function inputFromJson(text: string): DecisionInput {
  // Our own document; of anything else the ranking would be as wrong as the document is.
  const document = revived(JSON.parse(text)) as InputDocument;
  const { request, params, now, tape, snapshot: of } = document;
  const nodes: NodeView[] = new Array(of.size);
  for (const [place, view] of of.views) nodes[place] = view;
  const lists = of.models.map(([key, knowing, warm]): [ModelKey, Candidates] => [
    key,
    { nodes, knowing: Uint32Array.from(knowing), warm: Uint32Array.from(warm) },
  ]);
  const byId = new Map(of.views.map(([, view]) => [view.id, view]));
  const byModel = new WrittenModels(new Map(lists), of.heaviest, Uint32Array.from(of.unseen));
  const snapshot: FleetSnapshot = { version: of.version, at: of.at, nodes, byId, byModel };
  return { request, situation: { snapshot, params, now, tape } };
}

/** Without the models that the decision did not ask for and that are not in memory: nodes have dozens. */
function reduced(view: NodeView, asked: ReadonlySet<ModelKey>): NodeView {
  const isKept = (key: string): boolean => asked.has(key) || view.warm.has(key) || !view.models.has(key);
  const models = new Map([...view.models].filter(([key]) => isKept(key)));
  // Figures are kept under the model's key and its context.
  const figures = new Map([...view.figures].filter(([key]) => isKept(key.split(' ', 1)[0] ?? key)));
  return { ...view, models, figures };
}

class WrittenModels extends Map<ModelKey, readonly NodeView[]> implements ModelNodes {
  readonly heaviest: number;
  readonly unseen: Uint32Array;
  readonly #candidates: ReadonlyMap<ModelKey, Candidates>;

  constructor(candidates: ReadonlyMap<ModelKey, Candidates>, heaviest: number, unseen: Uint32Array) {
    super();
    this.#candidates = candidates;
    this.heaviest = heaviest;
    this.unseen = unseen;
    for (const [key, { nodes, knowing }] of candidates) {
      const list = [...knowing.toSorted()].flatMap((at) => nodes[at] ?? []);
      this.set(key, list);
    }
  }

  candidates(key: ModelKey): Candidates | undefined {
    return this.#candidates.get(key);
  }
}

/** The snapshot, noting the places and the models that are looked up in it. */
function watched(snapshot: FleetSnapshot, seen: Set<number>, asked: Set<ModelKey>): FleetSnapshot {
  const nodes = new Proxy(snapshot.nodes, {
    get(target, name, receiver) {
      if (typeof name === 'string' && /^\d+$/.test(name)) seen.add(Number(name));
      return Reflect.get(target, name, receiver) as unknown;
    },
  });
  let places: Map<NodeId, number> | undefined;
  const look = (id: NodeId): void => {
    places ??= new Map(snapshot.nodes.map((node, at) => [node.id, at]));
    const at = places.get(id);
    if (at !== undefined) seen.add(at);
  };
  const { byModel } = snapshot;
  return {
    ...snapshot,
    nodes,
    byId: overriding(snapshot.byId, {
      get: (id: NodeId) => {
        look(id);
        return snapshot.byId.get(id);
      },
    }),
    byModel: overriding(byModel, {
      candidates: (key: ModelKey) => {
        asked.add(key);
        const candidates = byModel.candidates(key);
        return candidates && { ...candidates, nodes };
      },
      has: (key: ModelKey) => {
        asked.add(key);
        return byModel.has(key);
      },
      get: (key: ModelKey) => {
        asked.add(key);
        for (const at of byModel.candidates(key)?.knowing ?? []) seen.add(at);
        return byModel.get(key);
      },
    }),
  };
}

function plain(value: unknown): unknown {
  if (typeof value === 'number') return Number.isFinite(value) ? value : { $number: String(value) };
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof Set) return { $set: [...value] };
  if (value instanceof Map) return { $map: Array.from(value, ([key, item]) => [key, plain(item)]) };
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
}

function revived(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(revived);
  if ('$number' in value) return Number(value.$number);
  if ('$set' in value && Array.isArray(value.$set)) return new Set(value.$set);
  if ('$map' in value && Array.isArray(value.$map)) return new Map(value.$map.map(revivedPair));
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, revived(item)]));
}

function revivedPair(pair: unknown): [unknown, unknown] {
  return Array.isArray(pair) ? [pair[0], revived(pair[1])] : [undefined, undefined];
}
