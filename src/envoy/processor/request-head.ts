import type { HttpHeaders, ProcessingRequest } from '../gen/envoy/service/ext_proc/v3/external_processor.ts';
import { structString } from '../grpc/well-known.ts';
import { HEADER, METADATA } from '../names.ts';

/** What the headers message says, as far as routing cares. */
export interface RequestHead {
  readonly method: string;
  /** Without query string. */
  readonly path: string;
  readonly query: string;
  /** Envoy's own id of the request. */
  readonly requestId: string;
  /** Undefined where the client did not say (chunked) or said nonsense. */
  readonly contentLength: number | undefined;
  /** Content coding of the body, lower case; empty for none. */
  readonly encoding: string;
  /** Of the client, as Envoy saw it; empty where Envoy does not say. */
  readonly address: string;
  /** As the client wrote them; empty where it did not. */
  readonly requestClass: string;
  readonly deadline: string;
  /** Both are forwarded to us only where clients are known by keys. Never to be logged. */
  readonly authorization: string;
  readonly apiKey: string;
  /** Neither body nor trailers follow. */
  readonly hasBody: boolean;
  /** The body's JSON with long strings cut, where the Lua filter could make it. */
  readonly bones: string | undefined;
}

export function readHead(message: ProcessingRequest, headers: HttpHeaders): RequestHead {
  let target = '';
  let method = '';
  let requestId = '';
  let length = '';
  let encoding = '';
  let address = '';
  let requestClass = '';
  let deadline = '';
  let authorization = '';
  let apiKey = '';
  for (const header of headers.headers?.headers ?? []) {
    switch (header.key) {
      case ':path':
        target = headerValue(header);
        break;
      case ':method':
        method = headerValue(header);
        break;
      case 'x-request-id':
        requestId = headerValue(header);
        break;
      case 'content-length':
        length = headerValue(header);
        break;
      case 'content-encoding':
        encoding = headerValue(header).trim().toLowerCase();
        break;
      case HEADER.clientAddress:
        address = headerValue(header);
        break;
      case HEADER.requestClass:
        requestClass = headerValue(header);
        break;
      case HEADER.deadline:
        deadline = headerValue(header);
        break;
      case HEADER.authorization:
        authorization = headerValue(header);
        break;
      case HEADER.apiKey:
        apiKey = headerValue(header);
        break;
    }
  }
  const mark = target.indexOf('?');
  return {
    method,
    path: mark < 0 ? target : target.slice(0, mark),
    query: mark < 0 ? '' : target.slice(mark + 1),
    requestId,
    contentLength: /^\d{1,15}$/.test(length) ? Number(length) : undefined,
    encoding: encoding === 'identity' ? '' : encoding,
    address,
    requestClass,
    deadline,
    authorization,
    apiKey,
    hasBody: headers.end_of_stream !== true,
    bones: structString(message.metadata_context?.filter_metadata?.[METADATA.warmpath], METADATA.bones),
  };
}

/** Newer Envoys fill `raw_value`, older ones `value`. */
export function headerValue(header: {
  readonly value?: string | undefined;
  readonly raw_value?: Uint8Array | undefined;
}): string {
  const raw = header.raw_value;
  if (raw === undefined || raw.length === 0) return header.value ?? '';
  return Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength).toString('utf8');
}
