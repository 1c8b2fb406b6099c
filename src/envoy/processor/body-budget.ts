/** Bodies in this process at once, bytes: Envoy keeps the others until it is asked for them. */
const BUDGET_BYTES = 256 * 1024 * 1024;
/** What a body is taken for whose length its client did not say. */
const UNKNOWN_BYTES = 4 * 1024 * 1024;

interface Waiting {
  readonly bytes: number;
  readonly go: () => void;
}

/**
 * Decides when Envoy may be asked for a body, so that many large ones at once do not exhaust our memory. First come,
 * first served; a body larger than the whole budget comes alone.
 */
export class BodyBudget {
  readonly #limit: number;
  readonly #waiting = new Set<Waiting>();
  #used = 0;

  constructor(limitBytes = BUDGET_BYTES) {
    this.#limit = limitBytes;
  }

  get usedBytes(): number {
    return this.#used;
  }

  /** Calls `go` once there is room, perhaps at once. The result gives the room back; calling it again does nothing. */
  reserve(lengthBytes: number | undefined, go: () => void): () => void {
    const entry: Waiting = { bytes: Math.min(lengthBytes ?? UNKNOWN_BYTES, this.#limit), go };
    this.#waiting.add(entry);
    let isHeld = true;
    const release = () => {
      if (!isHeld) return;
      isHeld = false;
      if (!this.#waiting.delete(entry)) this.#used -= entry.bytes;
      this.#admit();
    };
    this.#admit();
    return release;
  }

  /** Counts bytes that are here already; false where they are too many. Those who wait to ask come after them. */
  take(bytes: number): boolean {
    if (this.#used + bytes > this.#limit) return false;
    this.#used += bytes;
    return true;
  }

  /** Gives taken bytes back. */
  give(bytes: number): void {
    this.#used -= bytes;
    if (bytes > 0) this.#admit();
  }

  #admit(): void {
    for (const entry of this.#waiting) {
      if (this.#used + entry.bytes > this.#limit) return;
      this.#waiting.delete(entry);
      this.#used += entry.bytes;
      entry.go();
    }
  }
}
