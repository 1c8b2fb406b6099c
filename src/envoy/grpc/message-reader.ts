/** A message's prefix: one byte that says whether it is compressed, four with its length. */
const PREFIX_BYTES = 5;

/** Why a peer's bytes are no messages of ours. */
export type ReadProblem = 'compressed' | 'too_large';

const EMPTY = Buffer.alloc(0);

/** Memory for a message comes with its bytes at first: its prefix may promise more than ever follows. */
const EARNED_BYTES = [256 * 1024, 4 * 1024 * 1024] as const;

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
  #length = 0;
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
        this.#message = Buffer.allocUnsafe(roomFor(length, 0));
        this.#length = length;
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
    let message = this.#message;
    if (message === undefined) return chunk;
    const wanted = Math.min(this.#length, this.#filled + chunk.length);
    if (wanted > message.length) {
      const larger = Buffer.allocUnsafe(roomFor(this.#length, wanted));
      message.copy(larger, 0, 0, this.#filled);
      message = larger;
      this.#message = larger;
    }
    const taken = chunk.copy(message, this.#filled, 0, this.#length - this.#filled);
    this.#filled += taken;
    if (this.#filled === this.#length) {
      this.#message = undefined;
      onMessage(message.length === this.#length ? message : message.subarray(0, this.#length));
    }
    return chunk.subarray(taken);
  }
}

/** What to take for a message of which `wanted` bytes are there. */
function roomFor(length: number, wanted: number): number {
  for (const earned of EARNED_BYTES) if (wanted < earned) return Math.min(length, earned);
  return length;
}

/** A message with its prefix, ready to be sent. */
export function framed(message: Buffer): Buffer {
  const frame = Buffer.allocUnsafe(PREFIX_BYTES + message.length);
  frame[0] = 0;
  frame.writeUInt32BE(message.length, 1);
  message.copy(frame, PREFIX_BYTES);
  return frame;
}
