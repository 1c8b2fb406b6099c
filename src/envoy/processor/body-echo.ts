import { EncodedMessage } from '../grpc/encoded-message.ts';

/** What the reference implementation sends at most: with what is around it, it stays below 64 KiB. */
export const ECHO_BYTES = 62_000;
/** Shorter pieces are copied behind what goes before them: cheaper than to write two parts. */
const COPIED_BYTES = 2_048;

/** Tags of the fields that lie around a piece of a body, outermost first; all are messages. */
const AROUND = {
  // ProcessingResponse.request_body, BodyResponse.response, CommonResponse.body_mutation, BodyMutation.streamed_response
  request_body: [0x1a, 0x0a, 0x1a, 0x1a],
  response_body: [0x22, 0x0a, 0x1a, 0x1a],
} as const;
const [END_OF_STREAM, BODY] = [0x10, 0x0a];
/** gRPC's prefix: not compressed, and the length in four bytes. */
const PREFIX_BYTES = 5;
/** Most that goes before the bytes: the prefix; four tags, the end, the body's tag, each with a length of at most three bytes. */
const MAX_HEAD_BYTES = PREFIX_BYTES + 4 * 4 + 2 + 4;

/**
 * Pieces of a body as FULL_DUPLEX_STREAMED gives them back; at least one. Written by hand: it is done once for every token of every
 * answer, and large pieces are not copied. `bytes` must not be changed afterwards.
 */
export function* bodyEcho(
  step: keyof typeof AROUND,
  bytes: Uint8Array,
  isLast: boolean,
): Generator<EncodedMessage> {
  let from = 0;
  do {
    const until = Math.min(bytes.length, from + ECHO_BYTES);
    yield piece(step, bytes.subarray(from, until), isLast && until === bytes.length);
    from = until;
  } while (from < bytes.length);
}

function piece(step: keyof typeof AROUND, bytes: Uint8Array, isLast: boolean): EncodedMessage {
  const { length } = bytes;
  const inner = (length === 0 ? 0 : 1 + varintSize(length) + length) + (isLast ? 2 : 0);
  // Each message's size is that of the next one inside, with its tag and length.
  const third = sizeAround(inner);
  const second = sizeAround(third);
  const first = sizeAround(second);
  const isCopied = length <= COPIED_BYTES;
  const out = Buffer.allocUnsafe(MAX_HEAD_BYTES + (isCopied ? length : 0));
  out[0] = 0;
  out.writeUInt32BE(sizeAround(first), 1);
  const tags = AROUND[step];
  let at = writeField(out, PREFIX_BYTES, tags[0], first);
  at = writeField(out, at, tags[1], second);
  at = writeField(out, at, tags[2], third);
  at = writeField(out, at, tags[3], inner);
  if (isLast) at = writeField(out, at, END_OF_STREAM, 1);
  if (length > 0) at = writeField(out, at, BODY, length);
  if (!isCopied) return new EncodedMessage([out.subarray(0, at), bytes]);
  out.set(bytes, at);
  return new EncodedMessage([out.subarray(0, at + length)]);
}

function sizeAround(inner: number): number {
  return 1 + varintSize(inner) + inner;
}

/** Of numbers below 2^21: pieces are shorter. */
function varintSize(value: number): number {
  if (value < 0x80) return 1;
  return value < 0x4000 ? 2 : 3;
}

/** A tag and a number, a field's length or its value; answers where the next byte goes. */
function writeField(out: Buffer, at: number, tag: number, value: number): number {
  out[at] = tag;
  let rest = value;
  let next = at + 1;
  while (rest >= 0x80) {
    out[next] = (rest & 0x7f) | 0x80;
    next += 1;
    rest >>>= 7;
  }
  out[next] = rest;
  return next + 1;
}
