import { EncodedResponse } from './encoded-response.ts';

/** What the reference implementation sends at most: with what is around it, it stays below 64 KiB. */
export const ECHO_BYTES = 62_000;

/** Tags of the fields that lie around a piece of a body, innermost last; all are messages. */
const AROUND = {
  // ProcessingResponse.request_body, BodyResponse.response, CommonResponse.body_mutation, BodyMutation.streamed_response
  request_body: [0x1a, 0x0a, 0x1a, 0x1a],
  response_body: [0x22, 0x0a, 0x1a, 0x1a],
} as const;
const BODY = 0x0a;
const END_OF_STREAM = 0x10;

/**
 * Pieces of a body as FULL_DUPLEX_STREAMED gives them back; at least one where it is the last. Written by hand: it is done once
 * for every token of every answer, and one copy of the bytes is all that it takes.
 */
export function* bodyEcho(
  step: keyof typeof AROUND,
  bytes: Uint8Array,
  isLast: boolean,
): Generator<EncodedResponse> {
  let from = 0;
  do {
    const until = Math.min(bytes.length, from + ECHO_BYTES);
    yield piece(step, bytes.subarray(from, until), isLast && until === bytes.length);
    from = until;
  } while (from < bytes.length);
}

function piece(step: keyof typeof AROUND, bytes: Uint8Array, isLast: boolean): EncodedResponse {
  const tags = AROUND[step];
  const ownSize = (bytes.length === 0 ? 0 : 1 + varintSize(bytes.length) + bytes.length) + (isLast ? 2 : 0);
  // Each message's size is that of the next one inside, with its tag and length.
  const sizes = [ownSize, 0, 0, 0];
  for (let i = 1; i < tags.length; i++) sizes[i] = sizeAround(sizes[i - 1] ?? 0);
  const out = Buffer.allocUnsafe(sizeAround(sizes[tags.length - 1] ?? 0));
  let at = 0;
  for (const [i, tag] of tags.entries()) {
    out[at] = tag;
    at = writeVarint(out, at + 1, sizes[tags.length - 1 - i] ?? 0);
  }
  if (bytes.length > 0) {
    out[at] = BODY;
    at = writeVarint(out, at + 1, bytes.length);
    out.set(bytes, at);
    at += bytes.length;
  }
  if (isLast) {
    out[at] = END_OF_STREAM;
    out[at + 1] = 1;
  }
  return new EncodedResponse(out);
}

function sizeAround(inner: number): number {
  return 1 + varintSize(inner) + inner;
}

/** Of numbers below 2^21: pieces are shorter. */
function varintSize(value: number): number {
  if (value < 0x80) return 1;
  return value < 0x4000 ? 2 : 3;
}

function writeVarint(out: Buffer, at: number, value: number): number {
  let rest = value;
  let next = at;
  while (rest >= 0x80) {
    out[next] = (rest & 0x7f) | 0x80;
    next += 1;
    rest >>>= 7;
  }
  out[next] = rest;
  return next + 1;
}
