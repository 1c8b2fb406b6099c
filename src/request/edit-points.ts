import { RouterError } from './errors.ts';
import type { JsonKind, JsonSink } from './json-lexer.ts';
import { NameTable } from './name-table.ts';
import type { BodyEdit, InferenceEndpoint } from './types.ts';

/** The bytes from `start` to `end` become `text`. */
export interface Splice {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** An option that is written more often than this is no honest request. */
const MAX_SPLICES = 1024;

const MEMBERS = new NameTable(['model', 'name', 'options', 'keep_alive']);
const MODEL = 0;
const NAME = 1;
const OPTIONS = 2;
const KEEP_ALIVE = 3;

interface Range {
  readonly start: number;
  readonly end: number;
}

/** What the edits ask for, each as JSON. */
interface Wishes {
  readonly model: string | undefined;
  readonly numCtx: string | undefined;
  readonly keepAlive: string | undefined;
  readonly removed: readonly string[];
}

/** Finds the bytes of a document that edits change; several edits of one field: the last counts. */
export class EditPoints implements JsonSink {
  readonly #acceptsName: boolean;
  readonly #wishes: Wishes;
  /** The options to take out, then `num_ctx`. */
  readonly #options: NameTable;
  readonly #numCtxIndex: number;
  readonly #splices: Splice[] = [];

  #member = -1;
  #memberStart = 0;
  #memberKind: JsonKind = 'null';
  #lastEnd = -1;
  #rootOpen = 0;
  #model: Range | undefined;
  #name: Range | undefined;
  #hasOptions = false;
  #hasKeepAlive = false;

  #option = -1;
  #optionStart = 0;
  #optionValueStart = 0;
  #optionsOpen = 0;
  /** Where the first of the options begins that are taken out before any is kept; -1: none. */
  #leadingStart = -1;
  #previousEnd = -1;
  #keptEnd = -1;
  #numCtx: Range | undefined;

  constructor(endpoint: InferenceEndpoint, edits: readonly BodyEdit[]) {
    this.#acceptsName = endpoint.acceptsName;
    this.#wishes = wishesOf(edits, endpoint.family === 'ollama');
    const removed = this.#wishes.removed;
    this.#options = new NameTable([...removed, 'num_ctx']);
    this.#numCtxIndex = removed.length;
  }

  /** Once the document is complete: in order, none overlaps another. */
  splices(): readonly Splice[] {
    return this.#splices.toSorted((a, b) => a.start - b.start || a.end - b.end);
  }

  key(bytes: Uint8Array, depth: number, start: number, end: number): void {
    if (depth === 1) {
      this.#member = MEMBERS.findEscaped(bytes, start, end);
      if (this.#member === OPTIONS) this.#hasOptions = true;
      if (this.#member === KEEP_ALIVE) this.#hasKeepAlive = true;
    } else if (depth === 2 && this.#isInOptions()) {
      this.#option = this.#options.findEscaped(bytes, start, end);
      this.#optionStart = start - 1;
      if (this.#leadingStart < 0 || this.#isRemoved()) return;
      this.#splice(this.#leadingStart, this.#optionStart, '');
      this.#leadingStart = -1;
    }
  }

  value(_bytes: Uint8Array, depth: number, kind: JsonKind, start: number, end: number): void {
    if (depth > 2) return;
    const quote = kind === 'string' ? 1 : 0;
    if (depth === 0) this.#rootOpen = start;
    else if (depth === 1) {
      this.#memberStart = start - quote;
      this.#memberKind = kind;
      if (kind === 'object' && this.#member === OPTIONS) this.#openOptions(start);
      if (isScalar(kind)) this.#endMember(end + quote);
    } else if (this.#isInOptions()) {
      this.#optionValueStart = start - quote;
      if (isScalar(kind)) this.#endOption(end + quote);
    }
  }

  closed(_bytes: Uint8Array, depth: number, end: number): void {
    if (depth === 0) this.#endRoot();
    else if (depth === 1) this.#endMember(end);
    else if (this.#isInOptions()) this.#endOption(end);
  }

  passed(): void {}

  #isInOptions(): boolean {
    return this.#member === OPTIONS && this.#memberKind === 'object';
  }

  #isRemoved(): boolean {
    return this.#option >= 0 && this.#option < this.#numCtxIndex;
  }

  #endMember(end: number): void {
    const range = { start: this.#memberStart, end };
    this.#lastEnd = end;
    switch (this.#member) {
      case MODEL:
        this.#model = range;
        break;
      case NAME:
        this.#name = this.#memberKind === 'string' ? range : undefined;
        break;
      case OPTIONS:
        if (this.#memberKind === 'object') this.#endOptions();
        else if (this.#memberKind === 'null' && this.#wishes.numCtx !== undefined)
          this.#splice(range.start, end, `{"num_ctx":${this.#wishes.numCtx}}`);
        break;
      case KEEP_ALIVE:
        if (this.#wishes.keepAlive !== undefined)
          this.#splice(range.start, range.end, this.#wishes.keepAlive);
        break;
    }
    this.#member = -1;
  }

  #openOptions(start: number): void {
    this.#optionsOpen = start;
    this.#leadingStart = -1;
    this.#previousEnd = -1;
    this.#keptEnd = -1;
    this.#numCtx = undefined;
  }

  #endOption(end: number): void {
    if (this.#isRemoved()) {
      if (this.#keptEnd >= 0) this.#splice(this.#previousEnd, end, '');
      else if (this.#leadingStart < 0) this.#leadingStart = this.#optionStart;
    } else {
      this.#keptEnd = end;
      if (this.#option === this.#numCtxIndex) this.#numCtx = { start: this.#optionValueStart, end };
    }
    this.#previousEnd = end;
    this.#option = -1;
  }

  #endOptions(): void {
    if (this.#leadingStart >= 0) this.#splice(this.#leadingStart, this.#previousEnd, '');
    const numCtx = this.#wishes.numCtx;
    if (numCtx === undefined) return;
    if (this.#numCtx !== undefined) this.#splice(this.#numCtx.start, this.#numCtx.end, numCtx);
    else this.#insert(this.#keptEnd, this.#optionsOpen, `"num_ctx":${numCtx}`);
  }

  #endRoot(): void {
    const { model, numCtx, keepAlive } = this.#wishes;
    if (model !== undefined) {
      const name = this.#acceptsName && !isEmptyString(this.#name) ? this.#name : undefined;
      if (name !== undefined) this.#splice(name.start, name.end, model);
      if (this.#model !== undefined && (name === undefined || !isEmptyString(this.#model)))
        this.#splice(this.#model.start, this.#model.end, model);
    }
    const added: string[] = [];
    if (numCtx !== undefined && !this.#hasOptions) added.push(`"options":{"num_ctx":${numCtx}}`);
    if (keepAlive !== undefined && !this.#hasKeepAlive) added.push(`"keep_alive":${keepAlive}`);
    if (added.length > 0) this.#insert(this.#lastEnd, this.#rootOpen, added.join(','));
  }

  /** Adds members to an object: after its last one where it has any. */
  #insert(lastEnd: number, open: number, members: string): void {
    if (lastEnd >= 0) this.#splice(lastEnd, lastEnd, `,${members}`);
    else this.#splice(open + 1, open + 1, members);
  }

  #splice(start: number, end: number, text: string): void {
    if (this.#splices.length === MAX_SPLICES)
      throw new RouterError('invalid_json', 'the same option is repeated too often');
    this.#splices.push({ start, end, text });
  }
}

function wishesOf(edits: readonly BodyEdit[], isOllama: boolean): Wishes {
  let model: string | undefined;
  let numCtx: string | undefined;
  let keepAlive: string | undefined;
  const removed = new Set<string>();
  for (const edit of edits) {
    if (edit.field === 'model') model = JSON.stringify(edit.to);
    else if (!isOllama)
      continue; // nothing else can be set there
    else if (edit.field === 'num_ctx') numCtx = jsonNumber(Math.trunc(edit.to));
    else if (edit.field === 'keep_alive') keepAlive = jsonNumber(edit.to < 0 ? -1 : edit.to);
    else removed.add(edit.name);
  }
  if (numCtx !== undefined) removed.delete('num_ctx');
  return { model, numCtx, keepAlive, removed: [...removed] };
}

function jsonNumber(value: number): string {
  if (!Number.isFinite(value)) throw new RouterError('internal', 'a body cannot be edited to no number');
  return String(value);
}

function isScalar(kind: JsonKind): boolean {
  return kind !== 'object' && kind !== 'array';
}

/** Of a string's range, its quotes included. */
function isEmptyString(range: Range | undefined): boolean {
  return range === undefined || range.end - range.start === 2;
}
