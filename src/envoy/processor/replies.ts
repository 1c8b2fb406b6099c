import type { Reply } from '../../app/error-reply.ts';
import type { ReadReply } from '../../app/fleet-reads.ts';
import type { RouteDecision } from '../../app/types.ts';
import {
  HeaderValueOption_HeaderAppendAction as Append,
  type HeaderValueOption,
} from '../gen/envoy/config/core/v3/base.ts';
import {
  ProcessingMode_BodySendMode as BodyMode,
  ProcessingMode_HeaderSendMode as HeaderMode,
  type ProcessingMode,
} from '../gen/envoy/extensions/filters/http/ext_proc/v3/processing_mode.ts';
import type {
  CommonResponse,
  ProcessingResponse,
} from '../gen/envoy/service/ext_proc/v3/external_processor.ts';
import type { StatusCode } from '../gen/envoy/type/v3/http_status.ts';
import { toStruct } from '../grpc/well-known.ts';
import { CLUSTER, DETAILS, DETAILS_PREFIX, HEADER, METADATA } from '../names.ts';
import type { Step } from './state.ts';

/** Makes every answer that the processor gives. What never changes is built once. */
export class Replies {
  readonly #routedMode: ProcessingMode;
  readonly #askBody: ProcessingResponse;

  constructor(options: { readonly wantsResponseHeaders: boolean }) {
    // Trailers SEND is what keeps the stream open until the answer's real end: the lease ends with the stream.
    this.#routedMode = {
      request_header_mode: HeaderMode.SEND,
      response_header_mode: options.wantsResponseHeaders ? HeaderMode.SEND : HeaderMode.SKIP,
      response_trailer_mode: HeaderMode.SEND,
    };
    this.#askBody = {
      request_headers: { response: {} },
      mode_override: { ...this.#routedMode, request_body_mode: BodyMode.BUFFERED },
    };
  }

  /** The headers did not suffice: the whole body, please. */
  askBody(): ProcessingResponse {
    return this.#askBody;
  }

  /** Lets the message at hand pass as it is. */
  continue(step: Step): ProcessingResponse {
    return CONTINUE[step];
  }

  /** The answer takes longer than Envoy waits: at most `ms` from now. */
  hold(ms: number): ProcessingResponse {
    const whole = Math.max(1, Math.ceil(ms));
    return {
      override_message_timeout: { seconds: Math.floor(whole / 1000), nanos: (whole % 1000) * 1_000_000 },
    };
  }

  /** `body`: what goes on instead of the one that came; undefined: that one. */
  routed(
    decision: RouteDecision,
    step: 'request_headers' | 'request_body',
    body?: Uint8Array,
  ): ProcessingResponse {
    const set_headers = [
      CLUSTER_HEADER,
      setHeader(HEADER.decision, decision.id),
      setHeader(HEADER.maxRetries, String(decision.addresses.length - 1)),
      setHeader(HEADER.perTryTimeout, String(Math.max(1, Math.ceil(decision.perTryTimeoutMs)))),
    ];
    if (decision.retryNotFound) set_headers.push(RETRY_NOT_FOUND);
    if (body !== undefined) set_headers.push(setHeader('content-length', String(body.length)));
    const response: CommonResponse = { header_mutation: { set_headers }, clear_route_cache: true };
    if (body !== undefined) response.body_mutation = { body };
    const dynamic_metadata = metadata(decision.addresses.join(','));
    // An override is heeded in the answer to the headers only; the one that asked for the body holds on.
    if (step === 'request_body') return { request_body: { response }, dynamic_metadata };
    return { request_headers: { response }, dynamic_metadata, mode_override: this.#routedMode };
  }

  refusal(reply: Reply, code: string): ProcessingResponse {
    return immediate(reply.status, reply.headers, Buffer.from(reply.body), `${DETAILS_PREFIX}${code}`);
  }

  read(reply: ReadReply): ProcessingResponse {
    const isJson = reply.contentType.startsWith('application/json');
    const details = isJson ? DETAILS.readJson : DETAILS.readText;
    return immediate(reply.status, { 'content-type': reply.contentType }, reply.body, details);
  }
}

const CONTINUE: Record<Step, ProcessingResponse> = {
  request_headers: { request_headers: { response: {} } },
  request_body: { request_body: { response: {} } },
  request_trailers: { request_trailers: {} },
  response_headers: { response_headers: { response: {} } },
  response_body: { response_body: { response: {} } },
  response_trailers: { response_trailers: {} },
};

const CLUSTER_HEADER = setHeader(HEADER.cluster, CLUSTER.nodes);
const RETRY_NOT_FOUND = setHeader(HEADER.retriableStatusCodes, '404');

/** The ranked list, and the bones blanked: they hold pieces of prompts and would reach the access log. */
function metadata(destinations: string): { [key: string]: unknown } {
  return toStruct({
    [METADATA.lb]: { [METADATA.destination]: destinations },
    [METADATA.warmpath]: { [METADATA.bones]: '' },
  });
}

function setHeader(key: string, value: string): HeaderValueOption {
  return { header: { key, raw_value: Buffer.from(value) }, append_action: Append.OVERWRITE_IF_EXISTS_OR_ADD };
}

function immediate(
  status: number,
  headers: Readonly<Record<string, string>>,
  body: Buffer,
  details: string,
): ProcessingResponse {
  return {
    immediate_response: {
      // Sound: the statuses that we answer with are all in Envoy's list.
      status: { code: status as StatusCode },
      headers: { set_headers: Object.entries(headers).map(([key, value]) => setHeader(key, value)) },
      body,
      details,
    },
  };
}
