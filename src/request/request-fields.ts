import { RouterError } from './errors.ts';
import { FIELD_NAMES, type FieldName, foldedName, TOP, VARIANT } from './field-names.ts';
import { Fingerprint } from './fingerprint.ts';
import type { JsonKind, JsonSink } from './json-lexer.ts';
import { numberStay, textStay, unloadsAfter } from './keep-alive.ts';
import { MAX_FALLBACK_MODELS, MAX_VALUE_BYTES, MAX_WRITTEN_NAME_BYTES } from './limits.ts';
import { parseModelName } from './model-name.ts';
import { NameTable } from './name-table.ts';
import { MEMBER_NAMES, type MemberRole, memberRoles } from './prompt-members.ts';
import { PromptReader } from './prompt-reader.ts';
import { isShort, StringDigest } from './string-digest.ts';
import { stringValue } from './string-value.ts';
import type { InferenceEndpoint, KeepAlive, ModelName, RouteRequest } from './types.ts';

/** Stands for a model that is no string or no text: refused by the grammar of model names. */
const UNREADABLE = '\0';

/** Whether the middle of a string may be missing. A body read whole has no such strings. */
export type LooksCut = (bytes: Uint8Array, start: number, end: number) => boolean;

/** Options that change how a model is loaded, and so who it must be loaded again for. */
export const RUNNER_OPTIONS = [
  'num_gpu',
  'main_gpu',
  'num_thread',
  'num_batch',
  'use_mmap',
  'use_mlock',
  'low_vram',
  'numa',
  'f16_kv',
  'vocab_only',
  'logits_all',
] as const;
const OPTIONS = new NameTable([...RUNNER_OPTIONS, 'num_ctx', 'num_predict']);
const NUM_CTX = RUNNER_OPTIONS.length;
const NUM_PREDICT = NUM_CTX + 1;
const NO_OPTION = -1;

/**
 * Gathers what a request's document says. A key that decides where the request goes and is written twice or in another
 * spelling is refused: parsers disagree on which value counts. Of mere hints the last one counts. `options` and
 * `keep_alive` mean something to Ollama's own API only.
 */
export class RequestFields implements JsonSink {
  readonly #endpoint: InferenceEndpoint;
  readonly #roles: readonly (MemberRole | undefined)[];
  readonly #looksCut: LooksCut | undefined;
  /** One bit for each of the top names. */
  #seen = 0;
  readonly #digest = new StringDigest();
  readonly #fingerprint = new Fingerprint();
  readonly #prompt: PromptReader;
  /** The field whose value comes next or is being read; undefined inside members that do not matter. */
  #field: FieldName | undefined;
  #role: MemberRole | undefined;
  #option = NO_OPTION;
  #model: string | undefined;
  #name: string | undefined;
  #stream: boolean | undefined;
  #numCtx: number | undefined;
  #maxTokens: number | undefined;
  /** One bit for each of RUNNER_OPTIONS. */
  #runnerOptions = 0;
  #keepAlive: KeepAlive;
  #fallbacks: string[] | undefined;
  #isCut = false;

  constructor(endpoint: InferenceEndpoint, looksCut?: LooksCut) {
    this.#endpoint = endpoint;
    this.#roles = memberRoles(endpoint);
    this.#looksCut = looksCut;
    this.#prompt = new PromptReader(endpoint, this.#digest);
  }

  /** A string that matters may lack its middle, so nothing here can be trusted. */
  get isCut(): boolean {
    return this.#isCut;
  }

  key(bytes: Uint8Array, depth: number, start: number, end: number): void {
    if (!isShort(start, end)) this.#read(bytes, start, end);
    if (depth === 1) this.#beginMember(bytes, start, end);
    else if (this.#field === 'options') {
      if (depth === 2) this.#option = OPTIONS.findEscaped(bytes, start, end);
    } else if (this.#role !== undefined) this.#prompt.key(bytes, depth, start, end);
  }

  value(bytes: Uint8Array, depth: number, kind: JsonKind, start: number, end: number): void {
    if (kind === 'string' && !isShort(start, end)) this.#read(bytes, start, end);
    if (depth === 0) return;
    if (depth === 1) {
      if (this.#field !== undefined) this.#readMember(bytes, kind, start, end);
      if (this.#role !== undefined) this.#readHint(bytes, kind, start, end);
    } else if (this.#field === 'options') {
      if (depth === 2) this.#readOption(bytes, kind, start, end);
    } else if (this.#role === 'fallback_models') {
      if (depth === 2) this.#readFallback(bytes, kind, start, end);
    } else if (this.#role !== undefined) {
      this.#prompt.innerValue(bytes, depth, kind, start, end);
    }
  }

  closed(bytes: Uint8Array, depth: number, end: number): void {
    if (depth === 0) this.#fingerprint.ended(bytes, end);
  }

  passed(bytes: Uint8Array, pos: number): void {
    this.#fingerprint.passed(bytes, pos);
  }

  /** Call once the document is complete. Throws what `parseModelName` throws. */
  request(bodyBytes: number): RouteRequest {
    const prompt = this.#prompt;
    return {
      endpoint: this.#endpoint,
      model: parseModelName(this.#modelText()),
      stream: this.#stream,
      numCtx: this.#numCtx,
      unloads: unloadsAfter(this.#keepAlive),
      keepAlive: this.#keepAlive,
      isEmpty: prompt.isEmpty,
      bodyBytes,
      promptBytes: prompt.bytes,
      images: prompt.images,
      wantsTools: prompt.wantsTools,
      maxTokens: this.#maxTokens,
      runnerOptions: optionNames(this.#runnerOptions),
      fallbackModels: this.#fallbacks === undefined ? NO_MODELS : this.#fallbacks.map(fallbackModel),
      fingerprint: this.#fingerprint.text(),
      prefixes: prompt.prefixes(),
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

  #read(bytes: Uint8Array, start: number, end: number): void {
    this.#digest.read(bytes, start, end);
    this.#fingerprint.string(bytes, start, end, this.#digest);
  }

  #beginMember(bytes: Uint8Array, start: number, end: number): void {
    let name = TOP.find(bytes, start, end);
    if (name < 0) name = foldedName(bytes, start, end);
    const isExact = name < VARIANT;
    if (!isExact) name -= VARIANT;
    this.#role = this.#roles[name];
    this.#field = name < MEMBER_NAMES.length ? undefined : this.#fieldOf(name, isExact);
    this.#option = NO_OPTION;
    this.#prompt.member(this.#role);
  }

  #fieldOf(name: number, isExact: boolean): FieldName | undefined {
    const field = FIELD_NAMES[name - MEMBER_NAMES.length];
    if (field === undefined || !this.#matters(field)) return undefined;
    if (!isExact) throw ambiguous(`the key "${field}" must be in lower case`);
    const bit = 1 << name;
    if ((this.#seen & bit) !== 0) throw ambiguous(`the key "${field}" must not be repeated`);
    this.#seen |= bit;
    return field;
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
        this.#keepAlive = this.#stay(bytes, kind, start, end);
        break;
    }
  }

  #readHint(bytes: Uint8Array, kind: JsonKind, start: number, end: number): void {
    switch (this.#role) {
      case 'max_tokens':
        this.#maxTokens = kind === 'number' ? wholeNumber(bytes, start, end) : undefined;
        break;
      case 'fallback_models':
        this.#fallbacks = kind === 'null' ? undefined : [];
        if (kind !== 'array' && kind !== 'null') throw notFallbacks();
        break;
      default:
        this.#prompt.topValue(bytes, kind, start, end);
    }
  }

  #readOption(bytes: Uint8Array, kind: JsonKind, start: number, end: number): void {
    const option = this.#option;
    if (option === NO_OPTION) return;
    this.#option = NO_OPTION;
    if (option === NUM_CTX) this.#numCtx = kind === 'number' ? wholeNumber(bytes, start, end) : undefined;
    else if (option === NUM_PREDICT)
      this.#maxTokens = kind === 'number' ? wholeNumber(bytes, start, end) : undefined;
    else if (kind === 'null') this.#runnerOptions &= ~(1 << option);
    else this.#runnerOptions |= 1 << option;
  }

  #readFallback(bytes: Uint8Array, kind: JsonKind, start: number, end: number): void {
    if (this.#fallbacks === undefined || this.#fallbacks.length === MAX_FALLBACK_MODELS) throw notFallbacks();
    this.#fallbacks.push(this.#nameText(bytes, kind, start, end));
  }

  #nameText(bytes: Uint8Array, kind: JsonKind, start: number, end: number): string {
    if (kind !== 'string' || end - start > MAX_WRITTEN_NAME_BYTES) return UNREADABLE;
    this.#noteCut(bytes, start, end);
    return stringValue(bytes, start, end) ?? UNREADABLE;
  }

  #stay(bytes: Uint8Array, kind: JsonKind, start: number, end: number): KeepAlive {
    if (kind !== 'number' && kind !== 'string') return undefined;
    if (end - start > MAX_VALUE_BYTES) return 0; // not worked out: the worse is assumed
    if (kind === 'number') return numberStay(Number(stringValue(bytes, start, end)));
    this.#noteCut(bytes, start, end);
    return textStay(stringValue(bytes, start, end) ?? '');
  }

  #noteCut(bytes: Uint8Array, start: number, end: number): void {
    if (this.#looksCut?.(bytes, start, end)) this.#isCut = true;
  }
}

const NO_MODELS: readonly ModelName[] = [];
const NO_OPTIONS: readonly string[] = [];

function optionNames(bits: number): readonly string[] {
  return bits === 0 ? NO_OPTIONS : RUNNER_OPTIONS.filter((_, index) => (bits & (1 << index)) !== 0);
}

function fallbackModel(name: string): ModelName {
  try {
    return parseModelName(name);
  } catch (error) {
    if (error instanceof RouterError && error.code === 'model_required') throw notFallbacks();
    throw error;
  }
}

function notFallbacks(): RouterError {
  return new RouterError(
    'invalid_model_name',
    `"fallback_models" must be a list of at most ${MAX_FALLBACK_MODELS} model names`,
  );
}

/** Undefined for what no count of tokens can be: Ollama cuts fractions off and judges what is left by itself. */
function wholeNumber(bytes: Uint8Array, start: number, end: number): number | undefined {
  if (end - start > MAX_VALUE_BYTES) return undefined;
  const length = Math.trunc(Number(stringValue(bytes, start, end)));
  return Number.isSafeInteger(length) && length > 0 ? length : undefined;
}

function ambiguous(message: string): RouterError {
  return new RouterError('ambiguous_model', message);
}
