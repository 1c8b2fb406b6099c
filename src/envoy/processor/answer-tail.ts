/** The bytes of an answer that are looked at, from its end: as many as envoy/tap.lua looks at. */
export const TAIL_BYTES = 2_048;
const ROOM_BYTES = 2 * TAIL_BYTES;

/** Keeps the end of an answer, however it is cut into pieces. Bounded; nothing is looked at before the end. */
export class AnswerTail {
  #bytes: Buffer | undefined;
  #length = 0;

  push(piece: Uint8Array): void {
    const taken = piece.length > TAIL_BYTES ? piece.subarray(piece.length - TAIL_BYTES) : piece;
    this.#bytes ??= Buffer.allocUnsafe(ROOM_BYTES);
    if (this.#length + taken.length > ROOM_BYTES) {
      this.#bytes.copyWithin(0, this.#length - TAIL_BYTES, this.#length);
      this.#length = TAIL_BYTES;
    }
    this.#bytes.set(taken, this.#length);
    this.#length += taken.length;
  }

  /** One character for each byte. */
  text(): string {
    const bytes = this.#bytes;
    if (bytes === undefined) return '';
    return bytes.toString('latin1', Math.max(0, this.#length - TAIL_BYTES), this.#length);
  }
}
