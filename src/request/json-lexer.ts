import { RouterError } from './errors.ts';
import { acceptsEnd, firstNumberState, NUMBER_END, nextNumberState } from './json-number.ts';
import { MAX_NESTING } from './limits.ts';
import { stringEscapeEnd } from './string-escape.ts';
import { skipPlainBytes, skipPlainWords, wordView } from './string-text.ts';

export type JsonKind = 'string' | 'number' | 'object' | 'array' | 'true' | 'false' | 'null';

/**
 * Hears of a document's tokens. `depth` is 0 for the outermost object, 1 inside it and 2 inside its members. Ranges
 * exclude a string's quotes and are still escaped.
 */
export interface JsonSink {
  /** Every key. */
  key(bytes: Uint8Array, depth: number, start: number, end: number): void;
  /** Every string, and down to depth 2 all other values; objects and arrays where they open. */
  value(bytes: Uint8Array, depth: number, kind: JsonKind, start: number, end: number): void;
  /** An object or array that was reported ends before `end`. */
  closed(bytes: Uint8Array, depth: number, end: number): void;
  /** At the end of a slice: all tokens before `pos` were told of; a string may begin there. */
  passed(bytes: Uint8Array, pos: number): void;
}

/** Strings whose middle was cut out (see scan-bones.ts); a body read whole has none. */
export interface CutStrings {
  /** Called at the end of every string, keys included. */
  ended(bytes: Uint8Array, start: number, end: number): void;
  /** The end of a string that was cut inside the escape at `backslash`; -1 where it is just a bad escape. */
  splitEscapeEnd(bytes: Uint8Array, start: number, backslash: number): number;
}

const REPORTED_DEPTH = 2;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** What the grammar wants next, or the token it is in. */
type State =
  | typeof START
  | typeof VALUE
  | typeof FIRST_VALUE
  | typeof KEY
  | typeof FIRST_KEY
  | typeof AFTER_KEY
  | typeof AFTER_VALUE
  | typeof STRING
  | typeof NUMBER
  | typeof DONE;
const START = 0;
const VALUE = 1;
const FIRST_VALUE = 2;
const KEY = 3;
const FIRST_KEY = 4;
const AFTER_KEY = 5;
const AFTER_VALUE = 6;
const STRING = 7;
const NUMBER = 8;
const DONE = 9;

/** Most strings and most runs between escapes end within this; making a view for them costs more than it saves. */
const NEAR_BYTES = 256;

const WORDS = ['true', 'false', 'null'] as const;

/**
 * Checks one JSON object against RFC 8259 in a single pass, without recursion and without building it. It can stop after
 * any number of bytes and go on later. It is as strict as Go's decoder, and stricter where Go would stop
 * reading: nothing but white space may follow the object.
 */
export class JsonLexer {
  readonly #sink: JsonSink;
  readonly #cuts: CutStrings | undefined;
  /** One bit per open container: set for objects. */
  readonly #objects = new Uint32Array(MAX_NESTING / 32);
  #depth = 0;
  #pos = 0;
  #state: State = START;
  #tokenStart = 0;
  #isKey = false;
  #number = 0;
  #view: DataView | undefined;

  constructor(sink: JsonSink, cuts?: CutStrings) {
    this.#sink = sink;
    this.#cuts = cuts;
  }

  /**
   * Reads about `budget` further bytes of `bytes`, which must be the same whole document at every call. True once the
   * document is complete; throws `invalid_json` as soon as it cannot be.
   */
  step(bytes: Uint8Array, budget: number): boolean {
    const end = Math.min(bytes.length, this.#pos + budget);
    let pos = this.#pos;
    while (pos < end) {
      if (this.#state === STRING) pos = this.#readString(bytes, pos, end);
      else if (this.#state === NUMBER) pos = this.#readNumber(bytes, pos, end);
      else {
        const byte = at(bytes, pos);
        if (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) pos++;
        else pos = this.#readToken(bytes, pos, byte);
      }
    }
    this.#pos = pos;
    this.#sink.passed(bytes, this.#state === STRING ? this.#tokenStart : pos);
    if (pos < bytes.length) return false;
    if (this.#state !== DONE) throw invalidJson('unexpected end', pos);
    return true;
  }

  #readToken(bytes: Uint8Array, pos: number, byte: number): number {
    switch (this.#state) {
      case AFTER_VALUE:
        if (byte === COMMA) this.#state = this.#isInObject() ? KEY : VALUE;
        else this.#close(bytes, byte, pos);
        return pos + 1;
      case FIRST_KEY:
      case KEY:
        if (byte === QUOTE) this.#openString(pos, true);
        else if (this.#state === FIRST_KEY) this.#close(bytes, byte, pos);
        else throw unexpected(pos);
        return pos + 1;
      case AFTER_KEY:
        if (byte !== COLON) throw unexpected(pos);
        this.#state = VALUE;
        return pos + 1;
      case FIRST_VALUE:
        if (byte === CLOSE_ARRAY) {
          this.#close(bytes, byte, pos);
          return pos + 1;
        }
        return this.#beginValue(bytes, pos, byte);
      case VALUE:
        return this.#beginValue(bytes, pos, byte);
      case START:
        if (byte !== OPEN_OBJECT) throw new RouterError('invalid_json', 'the body must be a JSON object');
        this.#report(bytes, 'object', pos, pos + 1);
        this.#open(true, pos);
        return pos + 1;
      default:
        throw invalidJson('data after the end of the object', pos);
    }
  }

  #beginValue(bytes: Uint8Array, pos: number, byte: number): number {
    switch (byte) {
      case QUOTE:
        this.#openString(pos, false);
        return pos + 1;
      case OPEN_OBJECT:
        this.#report(bytes, 'object', pos, pos + 1);
        this.#open(true, pos);
        return pos + 1;
      case OPEN_ARRAY:
        this.#report(bytes, 'array', pos, pos + 1);
        this.#open(false, pos);
        return pos + 1;
      default: {
        const number = firstNumberState(byte);
        if (number === NUMBER_END) return this.#readWord(bytes, pos);
        this.#number = number;
        this.#tokenStart = pos;
        this.#state = NUMBER;
        return pos + 1;
      }
    }
  }

  #readWord(bytes: Uint8Array, pos: number): number {
    for (const word of WORDS) {
      if (!startsWith(bytes, pos, word)) continue;
      this.#report(bytes, word, pos, pos + word.length);
      this.#state = AFTER_VALUE;
      return pos + word.length;
    }
    throw unexpected(pos);
  }

  #readNumber(bytes: Uint8Array, from: number, end: number): number {
    let pos = from;
    let state = this.#number;
    while (pos < end) {
      const next = nextNumberState(state, at(bytes, pos));
      if (next === NUMBER_END) {
        if (!acceptsEnd(state)) throw unexpected(pos);
        this.#report(bytes, 'number', this.#tokenStart, pos);
        this.#state = AFTER_VALUE;
        break;
      }
      state = next;
      pos++;
    }
    this.#number = state;
    return pos;
  }

  #openString(quote: number, isKey: boolean): void {
    this.#tokenStart = quote + 1;
    this.#isKey = isKey;
    this.#state = STRING;
  }

  #readString(bytes: Uint8Array, from: number, end: number): number {
    let pos = from;
    while (pos < end) {
      const near = Math.min(end, pos + NEAR_BYTES);
      pos = skipPlainBytes(bytes, pos, near);
      if (pos === near && near < end) pos = this.#skipFar(bytes, pos, end);
      if (pos >= end) break;
      const byte = at(bytes, pos);
      if (byte === QUOTE) {
        this.#endString(bytes, pos);
        return pos + 1;
      }
      if (byte !== BACKSLASH) throw invalidJson('control character in a string', pos);
      const escapeEnd = stringEscapeEnd(bytes, pos);
      if (escapeEnd >= 0) {
        pos = escapeEnd;
        continue;
      }
      pos = this.#cuts?.splitEscapeEnd(bytes, this.#tokenStart, pos) ?? -1;
      if (pos < 0) throw invalidJson('bad escape in a string', from);
    }
    return pos;
  }

  #skipFar(bytes: Uint8Array, from: number, end: number): number {
    this.#view ??= wordView(bytes);
    return skipPlainWords(this.#view, from, end);
  }

  #endString(bytes: Uint8Array, end: number): void {
    const start = this.#tokenStart;
    this.#cuts?.ended(bytes, start, end);
    if (this.#isKey) {
      this.#state = AFTER_KEY;
      this.#sink.key(bytes, this.#depth, start, end);
    } else {
      this.#state = AFTER_VALUE;
      this.#sink.value(bytes, this.#depth, 'string', start, end);
    }
  }

  #report(bytes: Uint8Array, kind: JsonKind, start: number, end: number): void {
    if (this.#depth <= REPORTED_DEPTH) this.#sink.value(bytes, this.#depth, kind, start, end);
  }

  #open(isObject: boolean, pos: number): void {
    if (this.#depth === MAX_NESTING) throw invalidJson(`nested deeper than ${MAX_NESTING} levels`, pos);
    const word = this.#depth >> 5;
    const bit = 1 << (this.#depth & 31);
    const bits = this.#objects[word] ?? 0;
    this.#objects[word] = isObject ? bits | bit : bits & ~bit;
    this.#depth++;
    this.#state = isObject ? FIRST_KEY : FIRST_VALUE;
  }

  #close(bytes: Uint8Array, byte: number, pos: number): void {
    if (byte !== (this.#isInObject() ? CLOSE_OBJECT : CLOSE_ARRAY)) throw unexpected(pos);
    this.#depth--;
    this.#state = this.#depth === 0 ? DONE : AFTER_VALUE;
    if (this.#depth <= REPORTED_DEPTH) this.#sink.closed(bytes, this.#depth, pos + 1);
  }

  #isInObject(): boolean {
    const level = this.#depth - 1;
    return (((this.#objects[level >> 5] ?? 0) >>> (level & 31)) & 1) === 1;
  }
}

/** The byte at a position that the caller has checked to lie inside. */
function at(bytes: Uint8Array, pos: number): number {
  return bytes[pos] as number;
}

function startsWith(bytes: Uint8Array, pos: number, word: string): boolean {
  for (let i = 0; i < word.length; i++) {
    if (bytes[pos + i] !== word.charCodeAt(i)) return false;
  }
  return true;
}

function unexpected(pos: number): RouterError {
  return invalidJson('unexpected character', pos);
}

function invalidJson(what: string, pos: number): RouterError {
  return new RouterError('invalid_json', `invalid JSON: ${what} at byte ${pos}`);
}
