import { mendAuthority } from './header-block.ts';

const PREFACE_BYTES = 24;
const HEAD_BYTES = 9;
const HEADERS = 1;
const CONTINUATION = 9;
const END_HEADERS = 0x4;
const PADDED = 0x8;
const PRIORITY = 0x20;
/** Longer header blocks pass as they are: HTTP/2 refuses them. */
const MAX_BLOCK_BYTES = 64 * 1024;
const EMPTY = Buffer.alloc(0);

/** The bytes that an HTTP/2 client sends: header blocks are held until they are whole, and mended; all else passes at once. */
export class ClientFrames {
  /** Bytes yet to come that pass as they are. */
  #passing = PREFACE_BYTES;
  #held: Buffer = EMPTY;
  #hasGivenUp = false;
  #blocks = 0;

  /** Header blocks that have been seen whole. */
  get blocks(): number {
    return this.#blocks;
  }

  /** What can go on now; may be empty. The piece is changed in place where it can be. */
  take(piece: Buffer): Buffer {
    if (this.#hasGivenUp) return piece;
    const data = this.#held.length === 0 ? piece : Buffer.concat([this.#held, piece]);
    this.#held = EMPTY;
    let at = Math.min(this.#passing, data.length);
    this.#passing -= at;
    while (at < data.length) {
      const end = this.#endOf(data, at);
      if (end === undefined) {
        this.#held = data.subarray(at);
        if (this.#held.length > MAX_BLOCK_BYTES) this.#giveUp();
        break;
      }
      at = Math.min(end, data.length);
      this.#passing = end - at;
    }
    if (this.#hasGivenUp) return data;
    return data.subarray(0, at);
  }

  /** Where the frame, or the header block that begins here, ends; undefined where more must come first. */
  #endOf(data: Buffer, start: number): number | undefined {
    if (data.length - start < HEAD_BYTES) return undefined;
    if (data[start + 3] !== HEADERS) return start + HEAD_BYTES + data.readUIntBE(start, 3);
    const fragments: Buffer[] = [];
    for (let at = start; data.length - at >= HEAD_BYTES; ) {
      const end = at + HEAD_BYTES + data.readUIntBE(at, 3);
      if (end > data.length) return undefined;
      const isFirst = at === start;
      // Anything but a continuation is an error of the client's, told by HTTP/2.
      if (!isFirst && data[at + 3] !== CONTINUATION) return end;
      const flags = data[at + 4] ?? 0;
      fragments.push(fragment(data.subarray(at + HEAD_BYTES, end), isFirst ? flags : 0));
      at = end;
      if ((flags & END_HEADERS) === 0) continue;
      mend(fragments);
      this.#blocks += 1;
      return end;
    }
    return undefined;
  }

  #giveUp(): void {
    this.#hasGivenUp = true;
    this.#held = EMPTY;
  }
}

/** The part of a frame's payload that belongs to the header block. */
function fragment(payload: Buffer, flags: number): Buffer {
  const padding = flags & PADDED ? (payload[0] ?? 0) : 0;
  const start = (flags & PADDED ? 1 : 0) + (flags & PRIORITY ? 5 : 0);
  return payload.subarray(start, Math.max(start, payload.length - padding));
}

function mend(fragments: readonly Buffer[]): void {
  const [only, ...others] = fragments;
  if (only === undefined) return;
  if (others.length === 0) {
    mendAuthority(only);
    return;
  }
  const whole = Buffer.concat(fragments);
  mendAuthority(whole);
  let at = 0;
  for (const each of fragments) at += whole.copy(each, 0, at);
}
