import { randomUUID } from 'node:crypto';
import type { HeaderValue, HttpBody, ProcessingRequest, Struct, StructValue } from '../grpc/messages.ts';

export const BODY_MODE = { none: 0, streamed: 1, buffered: 2, duplex: 4 } as const;

export const NAMES = {
  destination: 'x-gateway-destination-endpoint',
  served: 'x-gateway-destination-endpoint-served',
  lb: 'envoy.lb',
  subset: 'x-gateway-destination-endpoint-subset',
  subsetHint: 'envoy.lb.subset_hint',
} as const;

/** A client's request, as a proxy tells it. */
export interface HttpRequest {
  readonly method: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Undefined: none at all, the headers end the stream. */
  readonly body?: Buffer;
  /** How long each piece of the body is, over and over; 16 KiB unless said. */
  readonly pieces?: readonly number[];
  /** The end of the stream comes in a piece of its own, without bytes. */
  readonly hasEmptyLastPiece?: boolean;
  readonly trailers?: Readonly<Record<string, string>>;
  /** What the metadata namespace of the subset hint holds. */
  readonly subset?: StructValue | undefined;
}

export type Mode = 'duplex' | 'buffered';

export function headersMessage(request: HttpRequest, mode: Mode): ProcessingRequest {
  const length = request.body?.length;
  const headers: Record<string, string> = {
    ':method': request.method,
    ':scheme': 'http',
    ':authority': 'inference.example',
    ':path': request.path,
    'x-request-id': randomUUID(),
    'x-forwarded-proto': 'http',
    ...(length === undefined ? {} : { 'content-type': 'application/json', 'content-length': String(length) }),
    ...request.headers,
  };
  return {
    request_headers: {
      headers: { headers: headerList(headers) },
      end_of_stream: length === undefined && request.trailers === undefined,
    },
    ...context(request),
    protocol_config: {
      request_body_mode: BODY_MODE[mode],
      response_body_mode: mode === 'duplex' ? BODY_MODE.duplex : BODY_MODE.none,
      send_body_without_waiting_for_header_response: false,
    },
  };
}

/** The body as it comes. The last piece ends the stream unless trailers do. */
export function bodyMessages(request: HttpRequest): ProcessingRequest[] {
  if (request.body === undefined) return [];
  return bodyPieces(request.body, request.pieces ?? [16 * 1024], {
    hasEmptyLastPiece: request.hasEmptyLastPiece === true,
    isEnd: request.trailers === undefined,
  }).map((piece) => ({ request_body: piece, ...context(request) }));
}

export function trailersMessage(request: HttpRequest): ProcessingRequest | undefined {
  if (request.trailers === undefined) return undefined;
  return { request_trailers: { trailers: { headers: headerList(request.trailers) } }, ...context(request) };
}

export function bodyPieces(
  body: Buffer,
  lengths: readonly number[],
  options: { readonly hasEmptyLastPiece: boolean; readonly isEnd: boolean },
): HttpBody[] {
  const pieces: Buffer[] = [];
  for (let at = 0, turn = 0; at < body.length; turn += 1) {
    const length = Math.max(1, lengths[turn % lengths.length] ?? body.length);
    pieces.push(body.subarray(at, at + length));
    at += length;
  }
  if (pieces.length === 0 || options.hasEmptyLastPiece) pieces.push(Buffer.alloc(0));
  return pieces.map((piece, index) => ({
    body: piece,
    end_of_stream: options.isEnd && index === pieces.length - 1,
  }));
}

export function headerList(headers: Readonly<Record<string, string>>): HeaderValue[] {
  return Object.entries(headers).map(([key, value]) => ({ key, raw_value: Buffer.from(value) }));
}

/** A chat request of exactly this many bytes, as far as that is possible. */
export function chatBody(model: string, bytes = 0, prompt = 'Say hello.'): Buffer {
  const build = (padding: string): string =>
    JSON.stringify({ model, stream: true, messages: [{ role: 'user', content: prompt + padding }] });
  const missing = bytes - Buffer.byteLength(build(''));
  return Buffer.from(build(missing > 0 ? filler(missing) : ''));
}

export function listHint(endpoints: readonly string[]): StructValue {
  return { listValue: { values: endpoints.map((endpoint) => ({ stringValue: endpoint })) } };
}

export function commaHint(endpoints: readonly string[]): StructValue {
  return { stringValue: endpoints.join(',') };
}

/** Words, not one letter: what looks at the text finds some. */
function filler(length: number): string {
  const words = ' the quick brown fox jumps over the lazy dog and';
  return words.repeat(Math.ceil(length / words.length)).slice(0, length);
}

/** A proxy forwards the metadata with every message, not only with the first. */
function context({ subset }: HttpRequest): Pick<ProcessingRequest, 'metadata_context'> {
  if (subset === undefined) return {};
  const struct: Struct = { fields: { [NAMES.subset]: subset } };
  return { metadata_context: { filter_metadata: { [NAMES.subsetHint]: struct } } };
}
