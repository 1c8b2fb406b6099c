import type { ModelDetails, ModelOnDisk, ResidentModel } from '../fleet/types.ts';
import { modelKey } from '../request/model-name.ts';
import { PollError } from './poll-error.ts';
import { SharedValues } from './shared-values.ts';

/** More models than any machine has; what a node lists beyond is dropped. */
export const MAX_MODELS = 2_000;
/** A pebibyte: no model, no machine has more. */
const MAX_BYTES = 2 ** 50;
const MAX_CONTEXT = 2 ** 30;
const MAX_TEXT = 128;
const MAX_FAMILIES = 16;
/** Nodes list the same models: their names, digests and details are kept once for all of them. */
const texts = new SharedValues<string>();
const allDetails = new SharedValues<ModelDetails>();
const NEVER = '0001-01-01T00:00:00Z';

/** Models in memory, from the answer of /api/ps. A wrong entry is dropped, a wrong number clamped. Throws PollError. */
export function parseResident(json: unknown): ResidentModel[] {
  return entries(json, (entry, key, name) => {
    const sizeBytes = bytes(entry.size);
    return {
      key,
      name,
      digest: digest(entry.digest),
      sizeBytes,
      vramBytes: Math.min(bytes(entry.size_vram), sizeBytes),
      contextLength: contextLength(entry.context_length),
      expiresAt: timestamp(entry.expires_at),
      details: details(entry.details),
    };
  });
}

/** Models on disk, from the answer of /api/tags. A wrong entry is dropped, a wrong number clamped. Throws PollError. */
export function parseTags(json: unknown): ModelOnDisk[] {
  return entries(json, (entry, key, name) => ({
    key,
    name,
    digest: digest(entry.digest),
    sizeBytes: bytes(entry.size),
    modifiedAt: timestamp(entry.modified_at),
    details: details(entry.details),
  }));
}

/** The version as the node tells it. Throws PollError. */
export function parseVersion(json: unknown): string {
  const { version } = record(json) ?? {};
  if (typeof version !== 'string' || !/^[0-9A-Za-z.+_-]{1,64}$/.test(version)) {
    throw new PollError('bad_answer', 'no version in it');
  }
  return version;
}

type Entry = Readonly<Record<string, unknown>>;

function entries<Model extends { readonly key: string }>(
  json: unknown,
  parse: (entry: Entry, key: string, name: string) => Model,
): Model[] {
  const { models } = record(json) ?? {};
  // Go writes a nil slice as null.
  if (models === null) return [];
  if (!Array.isArray(models)) throw new PollError('bad_answer', 'no list of models in it');
  const found = new Map<string, Model>();
  for (const raw of models.slice(0, MAX_MODELS)) {
    const entry = record(raw);
    const name = entry?.name ?? entry?.model;
    if (entry === undefined || typeof name !== 'string') continue;
    const key = modelKey(name);
    if (key === undefined || found.has(key)) continue;
    const sharedKey = texts.share(key, key);
    found.set(sharedKey, parse(entry, sharedKey, texts.share(name, name)));
  }
  return [...found.values()];
}

export function record(value: unknown): Entry | undefined {
  // Every property of a parsed object is unknown until looked at.
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Entry) : undefined;
}

function bytes(value: unknown): number {
  if (typeof value !== 'number' || !(value > 0)) return 0;
  return Math.min(Math.floor(value), MAX_BYTES);
}

export function contextLength(value: unknown): number | undefined {
  if (typeof value !== 'number' || !(value >= 1)) return undefined;
  return Math.min(Math.floor(value), MAX_CONTEXT);
}

function digest(value: unknown): string {
  const match = typeof value === 'string' ? /^(?:sha256:)?([0-9A-Fa-f]{8,64})$/.exec(value) : null;
  const hex = match?.[1]?.toLowerCase() ?? '';
  return texts.share(hex, hex);
}

/** RFC 3339 with a year that fits; people and clients see it as the node wrote it. */
function timestamp(value: unknown): string {
  const isTime =
    typeof value === 'string' &&
    /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/.test(value);
  return isTime && !Number.isNaN(Date.parse(value)) ? value : NEVER;
}

function details(value: unknown): ModelDetails {
  const entry = record(value) ?? {};
  const families = Array.isArray(entry.families) ? entry.families : null;
  const all: ModelDetails = {
    parent_model: text(entry.parent_model),
    format: text(entry.format),
    family: text(entry.family),
    families: families?.slice(0, MAX_FAMILIES).map(text) ?? null,
    parameter_size: text(entry.parameter_size),
    quantization_level: text(entry.quantization_level),
  };
  return allDetails.share(JSON.stringify(all), all);
}

/** Printable ASCII, bounded: it is shown to clients, in tables and in logs. */
function text(value: unknown): string {
  if (typeof value !== 'string') return '';
  return value.slice(0, MAX_TEXT).replace(/[^\x20-\x7e]/g, '');
}
