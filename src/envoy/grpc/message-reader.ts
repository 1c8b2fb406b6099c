/** A message's prefix: one byte that says whether it is compressed, four with its length. */
const PREFIX_BYTES = 5;

/** Why a peer's bytes are no messages of ours. */
export type ReadProblem = 'compressed' | 'too_large';

/** Cuts a stream's bytes into gRPC messages. A message that lies whole in one chunk is not copied. */
export class MessageReader {
  readonly #maxBytes: number;
  #chunks: Buffer[] = [];
  #held = 0;
  /** Bytes that the message at hand has, prefix included; 0 while its prefix is not complete. */
  #wanted = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Gives every message that is complete now to `onMessage`. A problem ends the stream: nothing after it is read. */
  push(chunk: Buffer, onMessage: (message: Buffer) => void): ReadProblem | undefined {
    let rest = chunk;
    if (this.#held > 0) {
      this.#chunks.push(chunk);
      this.#held += chunk.length;
      if (this.#held < Math.max(this.#wanted, PREFIX_BYTES)) return undefined;
      rest = Buffer.concat(this.#chunks, this.#held);
      this.#chunks = [];
      this.#held = 0;
      this.#wanted = 0;
    }
    while (rest.length >= PREFIX_BYTES) {
      const length = rest.readUInt32BE(1);
      if (rest[0] !== 0) return 'compressed';
      if (length > this.#maxBytes) return 'too_large';
      const end = PREFIX_BYTES + length;
      if (rest.length < end) {
        this.#wanted = end;
        break;
      }
      onMessage(rest.subarray(PREFIX_BYTES, end));
      rest = rest.subarray(end);
    }
    if (rest.length > 0) {
      this.#chunks.push(rest);
      this.#held = rest.length;
    }
    return undefined;
  }
}

/** A message with its prefix, ready to be sent. */
export function framed(message: Buffer): Buffer {
  const frame = Buffer.allocUnsafe(PREFIX_BYTES + message.length);
  frame[0] = 0;
  frame.writeUInt32BE(message.length, 1);
  message.copy(frame, PREFIX_BYTES);
  return frame;
}
