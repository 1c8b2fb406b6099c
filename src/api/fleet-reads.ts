import { errorReply } from '../app/error-reply.ts';
import type { FleetReads, ReadReply } from '../app/fleet-reads.ts';
import type { FleetSnapshot, ModelKey } from '../fleet/types.ts';
import { type ModelEntry, unionModels, unionPs, unionTags, unionVersion } from '../fleet/union.ts';
import { type ReadEndpoint, readEndpoint } from '../request/endpoints.ts';
import { RouterError } from '../request/errors.ts';
import { modelKey, parseModelName } from '../request/model-name.ts';
import { RenderCache } from './render-cache.ts';

/** Content types as Ollama sends them: its own API names a charset, the OpenAI one does not. */
const TEXT = 'text/plain; charset=utf-8';
const OLLAMA_JSON = 'application/json; charset=utf-8';
const OPENAI_JSON = 'application/json';

/** Where no node has said its version: clients that compare versions take it for an old one. */
const UNKNOWN_VERSION = '0.0.0';

type ListRead = Exclude<ReadEndpoint['read'], 'model'>;

/** Answers questions about the fleet as one Ollama would, from the snapshot of the moment. */
export function createFleetReads(snapshot: () => FleetSnapshot, now: () => number): FleetReads {
  const lists = Object.fromEntries(
    Object.entries(RENDER).map(([name, render]) => [name, new RenderCache(snapshot, render, now)]),
    // The entries are RENDER's own: one cache for each of its keys.
  ) as Record<ListRead, RenderCache<ReadReply>>;
  const byKey = new RenderCache(snapshot, modelsByKey, now);
  return {
    read: (method, path) => {
      const endpoint = readEndpoint(path);
      if (endpoint === undefined || !endpoint.methods.some((allowed) => allowed === method)) return undefined;
      if (endpoint.read !== 'model') return lists[endpoint.read].get();
      return oneModel(byKey, path.slice(endpoint.path.length));
    },
  };
}

const RENDER: Record<ListRead, (snapshot: FleetSnapshot) => ReadReply> = {
  root: () => ({ status: 200, contentType: TEXT, body: Buffer.from('Ollama is running') }),
  version: (snapshot) => json(OLLAMA_JSON, { version: unionVersion(snapshot) ?? UNKNOWN_VERSION }),
  tags: (snapshot) => json(OLLAMA_JSON, unionTags(snapshot)),
  ps: (snapshot) => json(OLLAMA_JSON, unionPs(snapshot)),
  models: (snapshot) => json(OPENAI_JSON, unionModels(snapshot)),
};

function modelsByKey(snapshot: FleetSnapshot): ReadonlyMap<ModelKey, ModelEntry> {
  const byKey = new Map<ModelKey, ModelEntry>();
  for (const entry of unionModels(snapshot).data) {
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
