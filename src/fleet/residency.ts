import { vramAfter } from './learn-vram.ts';
import { sentContextsAfter } from './sent-contexts.ts';
import type {
  LoadedBytes,
  ModelKey,
  ModelOnDisk,
  NodeRecord,
  Observation,
  ResidentModel,
  ServiceTimes,
} from './types.ts';

/** Weight of the newest round trip in the smoothed one. */
const RTT_WEIGHT = 0.3;

/** A node's /api/ps. Lists that say the same keep their identity, so that nothing derived from them is rebuilt. */
export function withResident(
  node: NodeRecord,
  models: readonly ResidentModel[],
  rttMs: number,
  now: number,
  nodeTime?: number,
): NodeRecord {
  const isSame = models.length === node.resident.size && models.every((m) => sameResident(node, m));
  return {
    ...node,
    resident: isSame ? node.resident : byKey(models),
    loadedBytes: isSame ? node.loadedBytes : loadedBytesAfter(node.loadedBytes, models),
    sentContexts: sentContextsAfter(node.sentContexts, models, now),
    learnt: vramAfter(node.learnt, node.resident, models, nodeTime, now),
    seenAt: { ...node.seenAt, resident: now },
    rttMs: smoothRtt(node.rttMs, rttMs),
  };
}

/** Models whose size in memory is remembered; the one longest not seen there is forgotten first. */
const MAX_LOADED = 256;

function loadedBytesAfter(before: LoadedBytes | undefined, models: readonly ResidentModel[]): LoadedBytes {
  const bytes = new Map(before);
  for (const { key, sizeBytes } of models) {
    bytes.delete(key);
    if (sizeBytes > 0) bytes.set(key, sizeBytes);
  }
  for (const oldest of bytes.keys()) {
    if (bytes.size <= MAX_LOADED) break;
    bytes.delete(oldest);
  }
  return bytes;
}

/** A node's /api/tags. */
export function withTags(
  node: NodeRecord,
  models: readonly ModelOnDisk[],
  rttMs: number,
  now: number,
): NodeRecord {
  const isSame = models.length === node.models.size && models.every((m) => sameOnDisk(node, m));
  return {
    ...node,
    models: isSame ? node.models : byKey(withKnown(node, models)),
    seenAt: { ...node.seenAt, tags: now },
    rttMs: smoothRtt(node.rttMs, rttMs),
  };
}

/** What /api/show says of a model is true of every name with its digest. */
export function withCapabilities(
  node: NodeRecord,
  { digest, capabilities, trainedContext }: Extract<Observation, { kind: 'capabilities' }>,
): NodeRecord {
  if (digest === '') return node;
  let models: Map<ModelKey, ModelOnDisk> | undefined;
  for (const [key, model] of node.models) {
    if (model.digest !== digest) continue;
    if (model.trainedContext === trainedContext && sameTexts(model.capabilities, capabilities)) continue;
    models ??= new Map(node.models);
    models.set(key, { ...model, capabilities, trainedContext });
  }
  return models === undefined ? node : { ...node, models };
}

function sameTexts(a: readonly string[] | undefined, b: readonly string[]): boolean {
  return a?.length === b.length && a.every((text, index) => text === b[index]);
}

/** Tag lists say nothing of capabilities: what is known of a digest stays known. */
function withKnown(node: NodeRecord, models: readonly ModelOnDisk[]): readonly ModelOnDisk[] {
  const known = new Map<string, ModelOnDisk>();
  for (const model of node.models.values())
    if (model.capabilities !== undefined && model.digest !== '') known.set(model.digest, model);
  if (known.size === 0) return models;
  return models.map((model) => {
    const { capabilities, trainedContext } = known.get(model.digest) ?? {};
    if (model.capabilities !== undefined || capabilities === undefined) return model;
    return { ...model, capabilities, trainedContext };
  });
}

/** The node answered 404 for a model: its tag list was stale. The next one may bring it back. */
export function withoutModel(node: NodeRecord, key: ModelKey): NodeRecord {
  if (!node.models.has(key) && !node.resident.has(key)) return node;
  const models = new Map(node.models);
  const resident = new Map(node.resident);
  models.delete(key);
  resident.delete(key);
  return { ...node, models, resident };
}

/**
 * A request was answered by a model that the last /api/ps did not list: it is in memory since. The next poll tells its
 * real figures; until then the following request should already find its way to it.
 */
export function withPresumed(node: NodeRecord, key: ModelKey, service: ServiceTimes): NodeRecord {
  const { wasWarm, loadMs, promptTokens, completionTokens } = service;
  const hasRun =
    wasWarm || loadMs !== undefined || promptTokens !== undefined || completionTokens !== undefined;
  const onDisk = node.models.get(key);
  if (!hasRun || onDisk === undefined || node.resident.has(key)) return node;
  const { name, digest, sizeBytes, details } = onDisk;
  for (const loaded of node.resident.values()) if (digest !== '' && loaded.digest === digest) return node;
  const presumed: ResidentModel = {
    key,
    name,
    digest,
    sizeBytes,
    vramBytes: sizeBytes,
    contextLength: undefined,
    expiresAt: '',
    details,
  };
  return { ...node, resident: new Map(node.resident).set(key, presumed) };
}

function byKey<T extends { readonly key: ModelKey }>(models: readonly T[]): Map<ModelKey, T> {
  return new Map(models.map((model) => [model.key, model]));
}

function sameResident(node: NodeRecord, model: ResidentModel): boolean {
  const known = node.resident.get(model.key);
  return (
    known !== undefined &&
    known.name === model.name &&
    known.digest === model.digest &&
    known.sizeBytes === model.sizeBytes &&
    known.vramBytes === model.vramBytes &&
    known.contextLength === model.contextLength &&
    known.expiresAt === model.expiresAt
  );
}

function sameOnDisk(node: NodeRecord, model: ModelOnDisk): boolean {
  const known = node.models.get(model.key);
  return (
    known !== undefined &&
    known.name === model.name &&
    known.digest === model.digest &&
    known.sizeBytes === model.sizeBytes &&
    known.modifiedAt === model.modifiedAt
  );
}

function smoothRtt(before: number | undefined, rttMs: number): number {
  return before === undefined ? rttMs : before + (rttMs - before) * RTT_WEIGHT;
}
