import type { ModelAliases } from '../routing/rewrite-policy.ts';
import { isoSeconds } from './iso-time.ts';
import type { FleetSnapshot, ModelDetails, ModelKey, ModelOnDisk, NodeView, ResidentModel } from './types.ts';

/** No alias. */
const NONE: ModelAliases = new Map();

/** An entry of Ollama's GET /api/tags, keys in Ollama's order. */
export interface TagsEntry {
  readonly name: string;
  readonly model: string;
  readonly modified_at: string;
  readonly size: number;
  readonly digest: string;
  readonly details: ModelDetails;
}

/** An entry of Ollama's GET /api/ps. */
export interface PsEntry {
  readonly name: string;
  readonly model: string;
  readonly size: number;
  readonly digest: string;
  readonly details: ModelDetails;
  readonly expires_at: string;
  readonly size_vram: number;
  readonly context_length?: number;
}

/** An entry of OpenAI's GET /v1/models as Ollama writes it. */
export interface ModelEntry {
  readonly id: string;
  readonly object: 'model';
  readonly created: number;
  readonly owned_by: string;
}

/**
 * GET /api/tags over the fleet: each model once, as the node with the newest copy lists it; newest first. Aliases are models of
 * their own name, with all else of the first of their models that there is, and hide a real model of that name.
 */
export function unionTags(snapshot: FleetSnapshot, aliases: ModelAliases = NONE): { models: TagsEntry[] } {
  return { models: newestFirst(snapshot, aliases).map(tagsEntry) };
}

/** GET /api/ps over the fleet: each model once, where it has the most VRAM; the last to expire first. No node is named. */
export function unionPs(snapshot: FleetSnapshot): { models: PsEntry[] } {
  const best = new Map<ModelKey, ResidentModel>();
  for (const node of visibleNodes(snapshot)) {
    for (const [key, model] of node.warm) {
      if (key !== model.key) continue; // an alias of a model that is listed under its own name
      if (model.expiresAt === '') continue; // presumed from live traffic; the next poll tells
      const other = best.get(key);
      if (other === undefined || outranks(model, other)) best.set(key, model);
    }
  }
  const sorted = [...best.values()].sort(
    (a, b) => isoSeconds(b.expiresAt) - isoSeconds(a.expiresAt) || byText(a.name, b.name),
  );
  return { models: sorted.map(psEntry) };
}

/** GET /v1/models over the fleet. */
export function unionModels(
  snapshot: FleetSnapshot,
  aliases: ModelAliases = NONE,
): { object: 'list'; data: ModelEntry[] } {
  return { object: 'list', data: newestFirst(snapshot, aliases).map(modelEntry) };
}

/** GET /api/version over the fleet: the lowest, as clients use it to find out what they may ask for. */
export function unionVersion(snapshot: FleetSnapshot): string | undefined {
  let lowest: string | undefined;
  for (const { version } of visibleNodes(snapshot)) {
    if (version === undefined) continue;
    if (lowest === undefined || compareVersions(version, lowest) < 0) lowest = version;
  }
  return lowest;
}

/** Nodes that are not down; where none of these has ever said what it has, all of them, with what they last had. */
function visibleNodes(snapshot: FleetSnapshot): readonly NodeView[] {
  const up = snapshot.nodes.filter((node) => node.status !== 'down');
  return up.some((node) => node.tagsAt !== undefined) ? up : snapshot.nodes;
}

function newestByKey(snapshot: FleetSnapshot): Map<ModelKey, ModelOnDisk> {
  const newest = new Map<ModelKey, ModelOnDisk>();
  for (const node of visibleNodes(snapshot)) {
    for (const [key, model] of node.models) {
      const other = newest.get(key);
      if (other === undefined || isNewer(model, other)) newest.set(key, model);
    }
  }
  return newest;
}

/** An alias is shown where one of its models can be had. */
function withAliases(
  models: ReadonlyMap<ModelKey, ModelOnDisk>,
  aliases: ModelAliases,
): ReadonlyMap<ModelKey, ModelOnDisk> {
  if (aliases.size === 0) return models;
  const all = new Map(models);
  for (const [key, { name, targets }] of aliases) {
    const served = targets.map((target) => models.get(target.key)).find((model) => model !== undefined);
    if (served === undefined) all.delete(key);
    else all.set(key, { ...served, key, name: name.raw });
  }
  return all;
}

/** Ollama's own order. */
function newestFirst(snapshot: FleetSnapshot, aliases: ModelAliases): ModelOnDisk[] {
  return [...withAliases(newestByKey(snapshot), aliases).values()].sort(
    (a, b) => isoSeconds(b.modifiedAt) - isoSeconds(a.modifiedAt) || byText(a.name, b.name),
  );
}

/** Copies of equal age are told apart by digest, so that the answer does not depend on the order of nodes. */
function isNewer(model: ModelOnDisk, other: ModelOnDisk): boolean {
  const isSameText = model.modifiedAt === other.modifiedAt;
  const younger = isSameText ? 0 : isoSeconds(model.modifiedAt) - isoSeconds(other.modifiedAt);
  return younger === 0 ? byText(model.digest, other.digest) < 0 : younger > 0;
}

function outranks(model: ResidentModel, other: ResidentModel): boolean {
  if (model.vramBytes !== other.vramBytes) return model.vramBytes > other.vramBytes;
  return isoSeconds(model.expiresAt) > isoSeconds(other.expiresAt);
}

function tagsEntry(model: ModelOnDisk): TagsEntry {
  const { name, modifiedAt, sizeBytes, digest, details } = model;
  return { name, model: name, modified_at: modifiedAt, size: sizeBytes, digest, details };
}

function psEntry(model: ResidentModel): PsEntry {
  const { name, sizeBytes, digest, details, expiresAt, vramBytes, contextLength } = model;
  const entry: PsEntry = {
    name,
    model: name,
    size: sizeBytes,
    digest,
    details,
    expires_at: expiresAt,
    size_vram: vramBytes,
  };
  return contextLength === undefined ? entry : { ...entry, context_length: contextLength };
}

function modelEntry(model: ModelOnDisk): ModelEntry {
  return {
    id: model.name,
    object: 'model',
    created: Math.floor(isoSeconds(model.modifiedAt)),
    owned_by: namespaceOf(model.name),
  };
}

/** `library` unless the name says otherwise: `someone/model:tag`, `host/someone/model:tag`. */
function namespaceOf(name: string): string {
  return name.split('/').at(-2) ?? 'library';
}

/** Numeric parts by value, a pre-release (`0.35.0-rc1`) before its release. */
function compareVersions(a: string, b: string): number {
  const [aCore = '', aPre] = splitOnce(a, '-');
  const [bCore = '', bPre] = splitOnce(b, '-');
  const aParts = aCore.split('.');
  const bParts = bCore.split('.');
  for (let i = 0; i < Math.max(aParts.length, bParts.length); i += 1) {
    const difference =
      (Number.parseInt(aParts[i] ?? '0', 10) || 0) - (Number.parseInt(bParts[i] ?? '0', 10) || 0);
    if (difference !== 0) return difference;
  }
  if (aPre === bPre) return 0;
  if (aPre === undefined) return 1;
  return bPre === undefined ? -1 : byText(aPre, bPre);
}

function splitOnce(text: string, separator: string): [string, string?] {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

function byText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
