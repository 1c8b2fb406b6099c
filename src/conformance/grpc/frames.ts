const PREFIX_BYTES = 5;

/** A gRPC message with its prefix: not compressed, then its length. */
export function frame(message: Uint8Array): Buffer {
  const out = Buffer.alloc(PREFIX_BYTES + message.length);
  out.writeUInt32BE(message.length, 1);
  out.set(message, PREFIX_BYTES);
  return out;
}

/** A prefix that promises `length` bytes; what follows is the caller's business. */
export function prefix(length: number, flag = 0): Buffer {
  const out = Buffer.alloc(PREFIX_BYTES);
  out.writeUInt8(flag, 0);
  out.writeUInt32BE(length, 1);
  return out;
}

/** Cuts a stream's bytes into messages. */
export class FrameReader {
  #chunks: Buffer[] = [];
  #bytes = 0;

  /** The messages that are complete now. */
  push(chunk: Buffer): Buffer[] {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    const messages: Buffer[] = [];
    for (;;) {
      if (this.#bytes < PREFIX_BYTES) return messages;
      const head = this.#peek(PREFIX_BYTES);
      const length = head.readUInt32BE(1);
      if (this.#bytes < PREFIX_BYTES + length) return messages;
      messages.push(this.#take(PREFIX_BYTES + length).subarray(PREFIX_BYTES));
    }
  }

  #peek(length: number): Buffer {
    const first = this.#chunks[0];
    if (first !== undefined && first.length >= length) return first;
    const all = Buffer.concat(this.#chunks);
    this.#chunks = [all];
    return all;
  }

  #take(length: number): Buffer {
    const all = this.#peek(length);
    this.#chunks[0] = all.subarray(length);
    this.#bytes -= length;
    return all.subarray(0, length);
  }
}
