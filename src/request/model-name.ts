import { RouterError } from './errors.ts';
import { MAX_MODEL_NAME_BYTES } from './limits.ts';
import type { ModelName } from './types.ts';

const DEFAULT_HOST = 'registry.ollama.ai';
const DEFAULT_NAMESPACE = 'library';
const DEFAULT_TAG = 'latest';

/** What may stand in a header, a log line or a metric label unescaped. `@` is legal here but in no part of a name. */
const ALPHABET = /^[A-Za-z0-9_][A-Za-z0-9_.:/@-]*$/;
const HOST = /^[a-z0-9_][a-z0-9_.:-]{0,349}$/;
const NAMESPACE = /^[a-z0-9_][a-z0-9_-]{0,79}$/;
const MODEL_OR_TAG = /^[a-z0-9_][a-z0-9_.-]{0,79}$/;

/**
 * Reads a client's model name as Ollama reads it: `[[scheme://]host/][namespace/]model[:tag]`, in any case.
 * Throws `model_required`, `invalid_model_name`, or `not_allowed` for models that a node would fetch from the cloud.
 */
export function parseModelName(raw: string): ModelName {
  const name = trimSpaces(raw);
  if (name === '') throw new RouterError('model_required', 'model is required');
  if (isCloudModel(name)) throw new RouterError('not_allowed', 'cloud models are not allowed');
  const key = canonicalKey(name);
  if (key === undefined) throw new RouterError('invalid_model_name', 'invalid model name');
  return { raw: name, key };
}

/** The key of a name in a node's own list; undefined for names that no client may ask for. */
export function modelKey(name: string): string | undefined {
  return isCloudModel(name) ? undefined : canonicalKey(name);
}

/** Only U+0020: Ollama trims every Unicode space, but such names have no business in a log. */
function trimSpaces(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && text.charCodeAt(start) === 0x20) start++;
  while (end > start && text.charCodeAt(end - 1) === 0x20) end--;
  return text.slice(start, end);
}

/** Ollama's rule: the part after the last colon, trimmed and folded, is `cloud` or a tag that ends in `-cloud`. */
export function isCloudModel(name: string): boolean {
  const colon = name.lastIndexOf(':');
  if (colon < 0 || name.length > MAX_MODEL_NAME_BYTES) return false;
  const suffix = name
    .slice(colon + 1)
    .trim()
    .toLowerCase();
  return suffix === 'cloud' || (suffix.endsWith('-cloud') && !suffix.includes('/'));
}

function canonicalKey(name: string): string | undefined {
  if (name.length > MAX_MODEL_NAME_BYTES || !ALPHABET.test(name)) return undefined;
  const folded = name.toLowerCase(); // the alphabet is ASCII, so this folds ASCII only
  const slash = folded.lastIndexOf('/');
  const colon = folded.lastIndexOf(':');
  const tag = colon > slash ? folded.slice(colon + 1) : DEFAULT_TAG;
  const path = colon > slash ? folded.slice(0, colon) : folded;
  const model = path.slice(slash + 1);
  if (!MODEL_OR_TAG.test(model) || !MODEL_OR_TAG.test(tag)) return undefined;
  const place = slash < 0 ? '' : canonicalPlace(path.slice(0, slash));
  return place === undefined ? undefined : `${place}${model}:${tag}`;
}

/** `host/namespace/` or `namespace/` or, where both are Ollama's defaults, nothing. */
function canonicalPlace(place: string): string | undefined {
  const slash = place.lastIndexOf('/');
  const namespace = place.slice(slash + 1);
  if (!NAMESPACE.test(namespace)) return undefined;
  const host = slash < 0 ? DEFAULT_HOST : withoutScheme(place.slice(0, slash));
  if (!HOST.test(host)) return undefined;
  if (host !== DEFAULT_HOST) return `${host}/${namespace}/`;
  return namespace === DEFAULT_NAMESPACE ? '' : `${namespace}/`;
}

function withoutScheme(host: string): string {
  for (const scheme of ['https://', 'http://']) {
    if (host.startsWith(scheme)) return host.slice(scheme.length);
  }
  return host;
}
