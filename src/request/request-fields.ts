import { RouterError } from './errors.ts';
import { type FieldName, isExactKey, matchField } from './field-names.ts';
import type { JsonKind, JsonSink } from './json-lexer.ts';
import { numberUnloads, textUnloads } from './keep-alive.ts';
import { MAX_VALUE_BYTES, MAX_WRITTEN_NAME_BYTES } from './limits.ts';
import { parseModelName } from './model-name.ts';
import { stringValue } from './string-value.ts';
import type { InferenceEndpoint, RouteRequest } from './types.ts';

/** Stands for a model that is no string or no text: refused by the grammar of model names. */
const UNREADABLE = '\0';

/** Whether the middle of a string may be missing. A body read whole has no such strings. */
export type LooksCut = (bytes: Uint8Array, start: number, end: number) => boolean;

/**
 * Gathers the members that decide where a request goes. A key that is written twice or in another spelling is refused:
 * parsers disagree on which value counts. `options` and `keep_alive` mean something to Ollama's own API only.
 */
export class RequestFields implements JsonSink {
  readonly #endpoint: InferenceEndpoint;
  readonly #looksCut: LooksCut | undefined;
  readonly #seen = new Set<FieldName>();
  /** The field whose value comes next or is being read; undefined inside members that do not matter. */
  #field: FieldName | undefined;
  #isNumCtx = false;
  #model: string | undefined;
  #name: string | undefined;
  #stream: boolean | undefined;
  #numCtx: number | undefined;
  #unloads = false;
  #isCut = false;

  constructor(endpoint: InferenceEndpoint, looksCut?: LooksCut) {
    this.#endpoint = endpoint;
    this.#looksCut = looksCut;
  }

  /** A string that matters may lack its middle, so nothing here can be trusted. */
  get isCut(): boolean {
    return this.#isCut;
  }

  key(bytes: Uint8Array, depth: number, start: number, end: number): void {
    if (depth === 1) this.#field = this.#fieldOf(bytes, start, end);
    else this.#isNumCtx = this.#field === 'options' && isExactKey(bytes, start, end, 'num_ctx');
  }

  value(bytes: Uint8Array, depth: number, kind: JsonKind, start: number, end: number): void {
    if (this.#field === undefined) return;
    if (depth === 1) this.#readMember(bytes, kind, start, end);
    else if (this.#isNumCtx) {
      this.#numCtx = kind === 'number' ? contextLength(bytes, start, end) : undefined;
      this.#isNumCtx = false;
    }
  }

  /** Call once the document is complete. Throws what `parseModelName` throws. */
  request(bodyBytes: number): RouteRequest {
    return {
      endpoint: this.#endpoint,
      model: parseModelName(this.#modelText()),
      stream: this.#stream,
      numCtx: this.#numCtx,
      unloads: this.#unloads,
      keepAlive: undefined,
      isEmpty: false,
      bodyBytes,
      promptBytes: bodyBytes,
      images: 0,
      wantsTools: false,
      maxTokens: undefined,
      runnerOptions: [],
      fallbackModels: [],
      fingerprint: '',
      prefixes: [],
    };
  }

  /** Ollama falls back to `name` where `model` is absent or empty; two different names are refused. */
  #modelText(): string {
    const model = this.#model ?? '';
    const name = this.#name ?? '';
    if (!this.#endpoint.acceptsName || name === '') return model;
    if (model !== '' && model !== name) throw ambiguous('"model" and "name" differ');
    return name;
  }

  #fieldOf(bytes: Uint8Array, start: number, end: number): FieldName | undefined {
    const match = matchField(bytes, start, end);
    if (match === undefined || !this.#matters(match.field)) return undefined;
    if (!match.isExact) throw ambiguous(`the key "${match.field}" must be in lower case`);
    if (this.#seen.has(match.field)) throw ambiguous(`the key "${match.field}" must not be repeated`);
    this.#seen.add(match.field);
    return match.field;
  }

  #matters(field: FieldName): boolean {
    return (field !== 'options' && field !== 'keep_alive') || this.#endpoint.family === 'ollama';
  }

  #readMember(bytes: Uint8Array, kind: JsonKind, start: number, end: number): void {
    switch (this.#field) {
      case 'model':
        this.#model = this.#nameText(bytes, kind, start, end);
        break;
      case 'name':
        // Elsewhere `name` is just another member that nobody reads.
        if (this.#endpoint.acceptsName && kind !== 'null')
          this.#name = this.#nameText(bytes, kind, start, end);
        break;
      case 'stream':
        this.#stream = kind === 'true' ? true : kind === 'false' ? false : undefined;
        break;
      case 'keep_alive':
        this.#unloads = this.#unloadsBy(bytes, kind, start, end);
        break;
    }
  }

  #nameText(bytes: Uint8Array, kind: JsonKind, start: number, end: number): string {
    if (kind !== 'string' || end - start > MAX_WRITTEN_NAME_BYTES) return UNREADABLE;
    this.#noteCut(bytes, start, end);
    return stringValue(bytes, start, end) ?? UNREADABLE;
  }

  #unloadsBy(bytes: Uint8Array, kind: JsonKind, start: number, end: number): boolean {
    if (kind !== 'number' && kind !== 'string') return false;
    if (end - start > MAX_VALUE_BYTES) return true; // not worked out: the worse is assumed
    if (kind === 'number') return numberUnloads(Number(stringValue(bytes, start, end)));
    this.#noteCut(bytes, start, end);
    return textUnloads(stringValue(bytes, start, end) ?? '');
  }

  #noteCut(bytes: Uint8Array, start: number, end: number): void {
    if (this.#looksCut?.(bytes, start, end)) this.#isCut = true;
  }
}

/** Undefined for what no context can be: Ollama cuts fractions off and takes what is left for itself to judge. */
function contextLength(bytes: Uint8Array, start: number, end: number): number | undefined {
  if (end - start > MAX_VALUE_BYTES) return undefined;
  const length = Math.trunc(Number(stringValue(bytes, start, end)));
  return Number.isSafeInteger(length) && length > 0 ? length : undefined;
}

function ambiguous(message: string): RouterError {
  return new RouterError('ambiguous_model', message);
}
