import { MAX_PREFIXES } from './limits.ts';
import { finished, mixA } from './text-hash.ts';
import type { PromptPrefix } from './types.ts';

/** The first ones are kept whatever follows: a system prompt is what most conversations have in common. */
const KEPT_FIRST = 2;
const KEPT_LAST = MAX_PREFIXES - KEPT_FIRST;
const TURN = 0x7475726e;

/**
 * Hashes of ever longer beginnings of a prompt: what the model reads first (system prompt, then tools), then turn by
 * turn. The parts may stand in any order in the document. Memory does not grow with the turns.
 */
export class PrefixChain {
  #system = 1;
  #tools = 1;
  #baseBytes = 0;
  #turns = 1;
  #turnBytes = 0;
  /** Hash and bytes of the turns up to each end. */
  readonly #ends: { hash: number; bytes: number }[] = [];
  #ended = 0;
  /** Where the next one goes: the first two stay, the others form a ring. */
  #slot = 0;
  #isOpen = false;

  /** Every text comes as its hash. */
  system(hash: number, bytes: number): void {
    this.#system = mixA(this.#system, hash);
    this.#baseBytes += bytes;
  }

  tools(hash: number, bytes: number): void {
    this.#tools = mixA(this.#tools, hash);
    this.#baseBytes += bytes;
  }

  /** What was said of the turns so far does not count. */
  restartTurns(): void {
    this.#turns = 1;
    this.#turnBytes = 0;
    this.#ended = 0;
    this.#slot = 0;
    this.#isOpen = false;
  }

  beginTurn(): void {
    this.endTurn();
    this.#isOpen = true;
  }

  turn(hash: number, bytes: number): void {
    this.#turns = mixA(this.#turns, hash);
    this.#turnBytes += bytes;
  }

  endTurn(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#turns = mixA(this.#turns, TURN);
    const slot = this.#slot;
    this.#ended++;
    this.#slot = slot === MAX_PREFIXES - 1 ? KEPT_FIRST : slot + 1;
    const end = this.#ends[slot];
    if (end === undefined) this.#ends[slot] = { hash: this.#turns, bytes: this.#turnBytes };
    else {
      end.hash = this.#turns;
      end.bytes = this.#turnBytes;
    }
  }

  /** Shortest first, at most 16: the first two and the longest. */
  prefixes(): readonly PromptPrefix[] {
    this.endTurn();
    const base = finished(this.#system) ^ this.#tools;
    const baseBytes = this.#baseBytes;
    const found: PromptPrefix[] = [];
    if (baseBytes > 0) found.push({ hash: prefixHash(base, 0), bytes: baseBytes });
    const kept = Math.min(this.#ended, MAX_PREFIXES);
    for (let i = 0; i < kept; i++) {
      const isInRing = i >= KEPT_FIRST && this.#ended > MAX_PREFIXES;
      const end = this.#ends[isInRing ? KEPT_FIRST + ((this.#slot + i - KEPT_FIRST * 2) % KEPT_LAST) : i];
      if (end !== undefined) found.push({ hash: prefixHash(base, end.hash), bytes: baseBytes + end.bytes });
    }
    if (found.length > MAX_PREFIXES) found.splice(KEPT_FIRST, found.length - MAX_PREFIXES);
    return found;
  }
}

/** 31 bits: a small integer wherever it is used as a key. */
function prefixHash(base: number, turns: number): number {
  return finished(mixA(mixA(base, turns), turns)) & 0x7fffffff;
}
