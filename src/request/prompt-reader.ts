import type { JsonKind } from './json-lexer.ts';
import { NameTable } from './name-table.ts';
import { PrefixChain } from './prefix-chain.ts';
import type { MemberRole } from './prompt-members.ts';
import { isShort, type StringDigest } from './string-digest.ts';
import { mixBytes } from './text-hash.ts';
import type { InferenceEndpoint, PromptPrefix } from './types.ts';

/** Keys inside messages that tell what a string is. */
const INNER = new NameTable(['type', 'images', 'url', 'image_url', 'source', 'data', 'cache_control']);
const TYPE = 0;
const IMAGES = 1;
const URL = 2;
const IMAGE_URL = 3;
const SOURCE = 4;
const DATA = 5;
const CACHE_CONTROL = 6;

const DATA_SCHEME = new NameTable(['data:']);
/** A message's own members stand at this depth. */
const MESSAGE_DEPTH = 3;
/** Tokens of an earlier conversation have no text here; so many bytes make a token in most languages. */
const BYTES_PER_TOKEN = 4;
/** So many tokens of an earlier conversation between two of its hashed beginnings. */
const TOKENS_PER_PREFIX = 256;
const MAX_TOKEN_DIGITS = 16;

/** Works out what the model will read: how much text, how many images, and the hashes of its beginnings. */
export class PromptReader {
  readonly #endpoint: InferenceEndpoint;
  readonly #chain = new PrefixChain();
  readonly #digest: StringDigest;
  #role: MemberRole | undefined;
  #isArray = false;
  /** Which of INNER the last key inside a message was. */
  #inner = -1;
  /** Depth of a message's key that was read last, where it opened something that is told apart; 0: none. */
  #sourceDepth = 0;
  #unreadDepth = 0;
  #tokens = 0;
  #bytes = 0;
  #images = 0;
  #hasPrompt = false;
  #hasTurns = false;
  #wantsTools = false;

  /** `digest` holds what was found of each string that is not short, when it comes here. */
  constructor(endpoint: InferenceEndpoint, digest: StringDigest) {
    this.#endpoint = endpoint;
    this.#digest = digest;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get images(): number {
    return this.#images;
  }

  get wantsTools(): boolean {
    return this.#wantsTools;
  }

  /** Ollama's own API only loads or unloads the model where there is nothing to answer. */
  get isEmpty(): boolean {
    if (this.#endpoint.family !== 'ollama') return false;
    if (this.#endpoint.operation === 'generate') return !this.#hasPrompt;
    return this.#endpoint.operation === 'chat' && !this.#hasTurns;
  }

  prefixes(): readonly PromptPrefix[] {
    return this.#chain.prefixes();
  }

  /** A member at the top of the document begins; undefined: one that the model does not read. */
  member(role: MemberRole | undefined): void {
    this.#chain.endTurn();
    this.#role = role;
  }

  /** A key below the top. */
  key(bytes: Uint8Array, depth: number, start: number, end: number): void {
    if (this.#role === 'turns' || this.#role === 'system') {
      this.#inner = INNER.find(bytes, start, end);
      if (depth <= this.#sourceDepth) this.#sourceDepth = 0;
      if (depth <= this.#unreadDepth) this.#unreadDepth = 0;
      if (this.#inner === SOURCE) this.#sourceDepth = depth;
      else if (this.#inner === CACHE_CONTROL && this.#unreadDepth === 0) this.#unreadDepth = depth;
    } else if (this.#role === 'tools') {
      this.#readText(bytes, start, end);
    }
  }

  /** A member's own value. */
  topValue(bytes: Uint8Array, kind: JsonKind, start: number, end: number): void {
    this.#isArray = kind === 'array';
    this.#inner = -1;
    this.#sourceDepth = 0;
    this.#unreadDepth = 0;
    switch (this.#role) {
      case 'prompt':
        // Go leaves a text as it is where null follows.
        if (kind !== 'null') this.#hasPrompt = kind !== 'string' || end > start;
        break;
      case 'turns':
        this.#hasTurns = kind !== 'array' && kind !== 'null';
        this.#chain.restartTurns();
        if (kind === 'string') this.#chain.beginTurn();
        break;
      case 'tools':
        this.#wantsTools = false;
        break;
    }
    if (kind === 'string') this.#readText(bytes, start, end);
  }

  /** A string anywhere below the top, or any value directly inside a member. */
  innerValue(bytes: Uint8Array, depth: number, kind: JsonKind, start: number, end: number): void {
    if (depth === 2) this.#element(bytes, kind, start, end);
    if (kind !== 'string') return;
    if (this.#role === 'turns' && this.#isImage(bytes, depth, start)) {
      this.#images++;
      this.#chain.turn(this.#hashOf(bytes, start, end), 0);
      return;
    }
    if (!this.#isSkipped(depth)) this.#readText(bytes, start, end);
  }

  #element(bytes: Uint8Array, kind: JsonKind, start: number, end: number): void {
    switch (this.#role) {
      case 'turns':
        this.#inner = -1;
        this.#sourceDepth = 0;
        this.#unreadDepth = 0;
        if (!this.#isArray) break;
        this.#hasTurns = true;
        this.#chain.beginTurn();
        break;
      case 'tools':
        if (this.#isArray) this.#wantsTools = true;
        break;
      case 'images':
        if (this.#isArray && kind === 'string') this.#images++;
        break;
      case 'context':
        if (kind === 'number' && end - start <= MAX_TOKEN_DIGITS) this.#readToken(bytes, start, end);
        break;
    }
  }

  #readText(bytes: Uint8Array, start: number, end: number): void {
    const length = isShort(start, end) ? end - start : this.#digest.length;
    switch (this.#role) {
      case 'system':
        this.#chain.system(this.#hashOf(bytes, start, end), length);
        break;
      case 'tools':
        this.#chain.tools(this.#hashOf(bytes, start, end), length);
        break;
      case 'turns':
        this.#chain.turn(this.#hashOf(bytes, start, end), length);
        break;
      case 'prompt':
      case 'text':
        break;
      default:
        return;
    }
    this.#bytes += length;
  }

  #hashOf(bytes: Uint8Array, start: number, end: number): number {
    return isShort(start, end) ? mixBytes(0, bytes, start, end) : this.#digest.a;
  }

  #readToken(bytes: Uint8Array, start: number, end: number): void {
    if (this.#tokens++ % TOKENS_PER_PREFIX === 0) this.#chain.beginTurn();
    this.#chain.turn(mixBytes(0, bytes, start, end), BYTES_PER_TOKEN);
    this.#bytes += BYTES_PER_TOKEN;
  }

  #isImage(bytes: Uint8Array, depth: number, start: number): boolean {
    switch (this.#inner) {
      case IMAGES:
        return this.#endpoint.family === 'ollama' && depth === MESSAGE_DEPTH + 1;
      case URL:
      case IMAGE_URL:
        return this.#endpoint.family === 'openai' && DATA_SCHEME.find(bytes, start, start + 5) === 0;
      case DATA:
        return this.#endpoint.family === 'anthropic' && this.#sourceDepth === depth - 1;
      default:
        return false;
    }
  }

  /** Marks that no model reads, and that come and go between two requests of one conversation. */
  #isSkipped(depth: number): boolean {
    if (this.#role !== 'turns' && this.#role !== 'system') return false;
    return this.#inner === TYPE || (this.#unreadDepth > 0 && depth > this.#unreadDepth);
  }
}
