import type { BodyBudget } from './body-budget.ts';

/** What came, or why no more is taken. */
export type Taken = 'taken' | 'too_large' | 'no_room';

/** A body that comes in pieces, in one stretch of memory that grows with it; what it takes is counted. */
export class HeldBody {
  readonly #budget: BodyBudget;
  readonly #maxBytes: number;
  readonly #expected: number;
  #bytes: Uint8Array = EMPTY;
  #length = 0;
  #counted = 0;
  /** The only piece so far lies in memory that came with it. */
  #isBorrowed = false;

  /** `expectedBytes`: what the client says; not believed, but memory grows to that and not past it while it fits. */
  constructor(budget: BodyBudget, maxBytes: number, expectedBytes: number | undefined) {
    this.#budget = budget;
    this.#maxBytes = maxBytes;
    this.#expected = expectedBytes ?? 0;
  }

  get length(): number {
    return this.#length;
  }

  /** All that came, until the next piece comes. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  add(piece: Uint8Array): Taken {
    if (piece.length === 0) return 'taken';
    const length = this.#length + piece.length;
    if (length > this.#maxBytes) return 'too_large';
    if (this.#length === 0) {
      if (!this.#count(piece.length)) return 'no_room';
      this.#bytes = piece;
      this.#isBorrowed = true;
    } else {
      if ((this.#isBorrowed || length > this.#bytes.length) && !this.#grow(length)) return 'no_room';
      this.#bytes.set(piece, this.#length);
    }
    this.#length = length;
    return 'taken';
  }

  /** It is to be held for a while: what lies beside it in memory must not be held with it. */
  keep(): void {
    if (!this.#isBorrowed) return;
    this.#bytes = new Uint8Array(this.#bytes); // a copy; a slice of a Buffer is none
    this.#isBorrowed = false;
  }

  /** Gives its memory back. Idempotent. */
  drop(): void {
    this.#budget.give(this.#counted);
    this.#counted = 0;
    this.#bytes = EMPTY;
    this.#length = 0;
  }

  #grow(length: number): boolean {
    const capacity = this.#capacityFor(length);
    if (!this.#count(capacity)) return false;
    const grown = Buffer.allocUnsafeSlow(capacity);
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
    this.#isBorrowed = false;
    return true;
  }

  /** What the client says is taken at its word once a good part of it is here. */
  #capacityFor(length: number): number {
    const expected = this.#expected;
    if (length <= expected && expected <= Math.max(length, LEAST_BYTES) * TRUSTED_FACTOR) return expected;
    return Math.min(Math.max(length * 2, LEAST_BYTES), this.#maxBytes);
  }

  #count(bytes: number): boolean {
    if (!this.#budget.take(bytes - this.#counted)) return false;
    this.#counted = bytes;
    return true;
  }
}

const LEAST_BYTES = 4 * 1024;
const TRUSTED_FACTOR = 8;
const EMPTY = new Uint8Array(0);
