import type { HttpHeaders, ProcessingRequest } from '../gen/envoy/service/ext_proc/v3/external_processor.ts';
import { structString } from '../grpc/well-known.ts';
import { HEADER, MAX_REQUEST_ID, METADATA } from '../names.ts';

/** What the headers message says, as far as routing cares. */
export interface RequestHead {
  readonly method: string;
  /** Without query string. */
  readonly path: string;
  readonly query: string;
  /** As Envoy, or the gateway, names the request. */
  readonly requestId: string;
  /** Undefined where the client did not say (chunked) or said nonsense. */
  readonly contentLength: number | undefined;
  /** Content coding of the body, lower case; empty for none. */
  readonly encoding: string;
  /** Of the client, as Envoy saw it; empty where Envoy does not say. */
  readonly address: string;
  /** By how many hands the request has come, the nearest last; as the proxy before us wrote it. */
  readonly forwardedFor: string;
  /** As the client wrote them; empty where it did not. */
  readonly requestClass: string;
  readonly deadline: string;
  /** As a gateway, or the client through it, wrote them; llm-d's spelling where both came. Empty where none did. */
  readonly objective: string;
  readonly fairnessId: string;
  readonly firstTokenMs: string;
  /** Where a conformance test wants the request to go; undefined: it is none. */
  readonly testSelection: string | undefined;
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
  let forwardedFor = '';
  let requestClass = '';
  let deadline = '';
  let objective = '';
  let objectiveLlmD = '';
  let fairnessId = '';
  let fairnessIdLlmD = '';
  let firstTokenMs = '';
  let firstTokenMsLlmD = '';
  let testSelection: string | undefined;
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
        requestId = headerValue(header).slice(0, MAX_REQUEST_ID);
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
      case HEADER.forwardedFor:
        forwardedFor = headerValue(header);
        break;
      case HEADER.requestClass:
        requestClass = headerValue(header);
        break;
      case HEADER.deadline:
        deadline = headerValue(header);
        break;
      case HEADER.objective:
        objective = headerValue(header);
        break;
      case HEADER.objectiveLlmD:
        objectiveLlmD = headerValue(header);
        break;
      case HEADER.fairness:
        fairnessId = headerValue(header);
        break;
      case HEADER.fairnessLlmD:
        fairnessIdLlmD = headerValue(header);
        break;
      case HEADER.firstTokenMs:
        firstTokenMs = headerValue(header);
        break;
      case HEADER.firstTokenMsLlmD:
        firstTokenMsLlmD = headerValue(header);
        break;
      case HEADER.testSelection:
        testSelection = headerValue(header);
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
    forwardedFor,
    requestClass,
    deadline,
    objective: objectiveLlmD === '' ? objective : objectiveLlmD,
    fairnessId: fairnessIdLlmD === '' ? fairnessId : fairnessIdLlmD,
    firstTokenMs: firstTokenMsLlmD === '' ? firstTokenMs : firstTokenMsLlmD,
    testSelection,
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
