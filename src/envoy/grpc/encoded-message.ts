/** A message in its frame, as bytes already: parts that follow one another, so that a large one need not be copied together. */
export class EncodedMessage {
  readonly parts: readonly Uint8Array[];

  constructor(parts: readonly Uint8Array[]) {
    this.parts = parts;
  }
}
