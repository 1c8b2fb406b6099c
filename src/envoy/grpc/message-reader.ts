/** A message's prefix: one byte that says whether it is compressed, four with its length. */
const PREFIX_BYTES = 5;

/** Why a peer's bytes are no messages of ours. */
export type ReadProblem = 'compressed' | 'too_large';

const EMPTY = Buffer.alloc(0);

/**
 * Cuts a stream's bytes into gRPC messages. A message that lies whole in one chunk is not copied; of a larger one each
 * chunk is copied to its place as it comes, so that 64 MiB never have to be copied at once.
 */
export class MessageReader {
  readonly #maxBytes: number;
  /** Beginning of a prefix. */
  #head: Buffer = EMPTY;
  /** The message at hand, and how much of it is there. */
  #message: Buffer | undefined;
  #filled = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Gives every message that is complete now to `onMessage`. A problem ends the stream: nothing after it is read. */
  push(chunk: Buffer, onMessage: (message: Buffer) => void): ReadProblem | undefined {
    let rest = this.#fill(chunk, onMessage);
    if (this.#head.length > 0) {
      rest = Buffer.concat([this.#head, rest]);
      this.#head = EMPTY;
    }
    while (rest.length >= PREFIX_BYTES) {
      const length = rest.readUInt32BE(1);
      if (rest[0] !== 0) return 'compressed';
      if (length > this.#maxBytes) return 'too_large';
      rest = rest.subarray(PREFIX_BYTES);
      if (rest.length < length) {
        this.#message = Buffer.allocUnsafe(length);
        this.#filled = 0;
        rest = this.#fill(rest, onMessage);
      } else {
        onMessage(rest.subarray(0, length));
        rest = rest.subarray(length);
      }
    }
    this.#head = rest;
    return undefined;
  }

  /** Takes what belongs to the message at hand and answers the rest. */
  #fill(chunk: Buffer, onMessage: (message: Buffer) => void): Buffer {
    const message = this.#message;
    if (message === undefined) return chunk;
    const taken = chunk.copy(message, this.#filled);
    this.#filled += taken;
    if (this.#filled === message.length) {
      this.#message = undefined;
      onMessage(message);
    }
    return chunk.subarray(taken);
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
