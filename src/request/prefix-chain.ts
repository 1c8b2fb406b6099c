import { MAX_PREFIXES } from './limits.ts';
import { finished, mixA, mixB, type StringDigest } from './string-digest.ts';
import type { PromptPrefix } from './types.ts';

/** The first ones are kept whatever follows: a system prompt is what most conversations have in common. */
const KEPT_FIRST = 2;
const KEPT_LAST = MAX_PREFIXES - KEPT_FIRST;
const TURN = 0x7475726e;

/** A hash that grows with what it reads. */
class Chain {
  a = 1;
  b = 1;
  bytes = 0;

  add(digest: StringDigest, bytes: number): void {
    this.a = mixA(this.a, digest.a);
    this.b = mixB(this.b, digest.b);
    this.bytes += bytes;
  }
}

/**
 * Hashes of ever longer beginnings of a prompt: what the model reads first (system prompt, then tools), then turn by
 * turn. The parts may stand in any order in the document. Memory does not grow with the turns.
 */
export class PrefixChain {
  readonly #system = new Chain();
  readonly #tools = new Chain();
  #turns = new Chain();
  /** Hash and bytes of the turns up to each end. */
  readonly #ends: { hash: number; bytes: number }[] = [];
  #ended = 0;
  #isOpen = false;

  system(digest: StringDigest, bytes: number): void {
    this.#system.add(digest, bytes);
  }

  tools(digest: StringDigest, bytes: number): void {
    this.#tools.add(digest, bytes);
  }

  /** What was said of the turns so far does not count. */
  restartTurns(): void {
    this.#turns = new Chain();
    this.#ended = 0;
    this.#isOpen = false;
  }

  beginTurn(): void {
    this.endTurn();
    this.#isOpen = true;
  }

  turn(digest: StringDigest, bytes: number): void {
    this.#turns.add(digest, bytes);
  }

  endTurn(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    const turns = this.#turns;
    turns.a = mixA(turns.a, TURN);
    turns.b = mixB(turns.b, TURN);
    const count = this.#ended++;
    const slot = count < MAX_PREFIXES ? count : KEPT_FIRST + ((count - KEPT_FIRST) % KEPT_LAST);
    const end = this.#ends[slot];
    if (end === undefined) this.#ends[slot] = { hash: turns.a ^ turns.b, bytes: turns.bytes };
    else {
      end.hash = turns.a ^ turns.b;
      end.bytes = turns.bytes;
    }
  }

  /** Shortest first, at most 16: the first two and the longest. */
  prefixes(): readonly PromptPrefix[] {
    this.endTurn();
    const base = finished(this.#system.a ^ this.#system.b) ^ (this.#tools.a + this.#tools.b);
    const baseBytes = this.#system.bytes + this.#tools.bytes;
    const found: PromptPrefix[] = [];
    if (baseBytes > 0) found.push({ hash: prefixHash(base, 0), bytes: baseBytes });
    const kept = Math.min(this.#ended, MAX_PREFIXES);
    for (let i = 0; i < kept; i++) {
      const end = this.#ends[this.#slotOf(i)];
      if (end !== undefined) found.push({ hash: prefixHash(base, end.hash), bytes: baseBytes + end.bytes });
    }
    if (found.length > MAX_PREFIXES) found.splice(KEPT_FIRST, found.length - MAX_PREFIXES);
    return found;
  }

  /** Where the i-th of the kept ends lies: the first two, then a ring. */
  #slotOf(i: number): number {
    if (i < KEPT_FIRST || this.#ended <= MAX_PREFIXES) return i;
    return KEPT_FIRST + ((this.#ended - KEPT_FIRST + i - KEPT_FIRST) % KEPT_LAST);
  }
}

/** 31 bits: a small integer wherever it is used as a key. */
function prefixHash(base: number, turns: number): number {
  return finished(mixA(mixA(base, turns), turns)) & 0x7fffffff;
}
