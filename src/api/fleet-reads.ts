import { errorReply } from '../app/error-reply.ts';
import type { FleetReads, ReadReply } from '../app/fleet-reads.ts';
import type { FleetSnapshot, ModelKey } from '../fleet/types.ts';
import { type ModelEntry, unionModels, unionPs, unionTags, unionVersion } from '../fleet/union.ts';
import { type ReadEndpoint, readEndpoint } from '../request/endpoints.ts';
import { RouterError } from '../request/errors.ts';
import { modelKey, parseModelName } from '../request/model-name.ts';
import { type ModelAliases, NO_ALIASES } from '../routing/rewrite-policy.ts';
import { RenderCache } from './render-cache.ts';

/** Content types as Ollama sends them: its own API names a charset, the OpenAI one does not. */
const TEXT = 'text/plain; charset=utf-8';
const OLLAMA_JSON = 'application/json; charset=utf-8';
const OPENAI_JSON = 'application/json';

/** Where no node has said its version: clients that compare versions take it for an old one. */
const UNKNOWN_VERSION = '0.0.0';

type ListRead = Exclude<ReadEndpoint['read'], 'model'>;

/** Answers questions about the fleet as one Ollama would, from the snapshot of the moment. `aliases`: the same map until they change. */
export function createFleetReads(
  snapshot: () => FleetSnapshot,
  now: () => number,
  aliases: () => ModelAliases = () => NO_ALIASES,
): FleetReads {
  let held: { readonly aliases: ModelAliases; readonly caches: Caches } | undefined;
  const caches = (): Caches => {
    const wanted = aliases();
    if (held?.aliases !== wanted) held = { aliases: wanted, caches: createCaches(snapshot, now, wanted) };
    return held.caches;
  };
  return {
    read: (method, path) => {
      const endpoint = readEndpoint(path);
      if (endpoint === undefined || !endpoint.methods.some((allowed) => allowed === method)) return undefined;
      if (endpoint.read !== 'model') return caches().lists[endpoint.read].get();
      return oneModel(caches().byKey, path.slice(endpoint.path.length));
    },
  };
}

interface Caches {
  readonly lists: Record<ListRead, RenderCache<ReadReply>>;
  readonly byKey: RenderCache<ReadonlyMap<ModelKey, ModelEntry>>;
}

function createCaches(snapshot: () => FleetSnapshot, now: () => number, aliases: ModelAliases): Caches {
  const lists = Object.fromEntries(
    Object.entries(RENDER).map(([name, render]) => [
      name,
      new RenderCache(snapshot, (fleet) => render(fleet, aliases), now),
    ]),
    // The entries are RENDER's own: one cache for each of its keys.
  ) as Record<ListRead, RenderCache<ReadReply>>;
  return { lists, byKey: new RenderCache(snapshot, (fleet) => modelsByKey(fleet, aliases), now) };
}

const RENDER: Record<ListRead, (snapshot: FleetSnapshot, aliases: ModelAliases) => ReadReply> = {
  root: () => ({ status: 200, contentType: TEXT, body: Buffer.from('Ollama is running') }),
  version: (snapshot) => json(OLLAMA_JSON, { version: unionVersion(snapshot) ?? UNKNOWN_VERSION }),
  tags: (snapshot, aliases) => json(OLLAMA_JSON, unionTags(snapshot, aliases)),
  ps: (snapshot) => json(OLLAMA_JSON, unionPs(snapshot)),
  models: (snapshot, aliases) => json(OPENAI_JSON, unionModels(snapshot, aliases)),
};

function modelsByKey(snapshot: FleetSnapshot, aliases: ModelAliases): ReadonlyMap<ModelKey, ModelEntry> {
  const byKey = new Map<ModelKey, ModelEntry>();
  for (const entry of unionModels(snapshot, aliases).data) {
    const key = modelKey(entry.id);
    if (key !== undefined) byKey.set(key, entry);
  }
  return byKey;
}

/** `encoded` is the rest of the path: a name in which slashes may be escaped or not. It is decoded exactly once. */
function oneModel(models: RenderCache<ReadonlyMap<ModelKey, ModelEntry>>, encoded: string): ReadReply {
  try {
    const { raw, key } = parseModelName(decode(encoded));
    const entry = models.get().get(key);
    if (entry === undefined) throw new RouterError('model_not_found', `model '${raw}' not found`);
    return json(OPENAI_JSON, { ...entry, id: raw });
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    const { status, headers, body } = errorReply(error, 'openai');
    return { status, contentType: headers['content-type'] ?? OPENAI_JSON, body: Buffer.from(body) };
  }
}

function decode(encoded: string): string {
  try {
    return decodeURIComponent(encoded);
  } catch (cause) {
    throw new RouterError('invalid_model_name', 'invalid model name', { cause });
  }
}

function json(contentType: string, value: object): ReadReply {
  return { status: 200, contentType, body: Buffer.from(JSON.stringify(value)) };
}
