import type { RouteDecision } from '../../app/types.ts';
import {
  ProcessingMode_BodySendMode as BodyMode,
  ProcessingMode_HeaderSendMode as HeaderMode,
  type ProcessingMode,
} from '../gen/envoy/extensions/filters/http/ext_proc/v3/processing_mode.ts';
import type {
  CommonResponse,
  ProcessingResponse,
} from '../gen/envoy/service/ext_proc/v3/external_processor.ts';
import { toStruct } from '../grpc/well-known.ts';
import { CLUSTER, HEADER, METADATA } from '../names.ts';
import { CONTINUE, Replies, type Routed, setHeader } from './replies.ts';
import type { Step } from './state.ts';

/** Answers for the Envoy that we configure. What never changes is built once. */
export class OwnReplies extends Replies {
  readonly #routedMode: ProcessingMode;
  readonly #askBody: ProcessingResponse;

  constructor(options: { readonly wantsResponseHeaders: boolean }) {
    super();
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

  askBody(): ProcessingResponse {
    return this.#askBody;
  }

  /** Over the last known nodes: the header that selects our cluster is absent. */
  pass(step: Step): ProcessingResponse {
    return CONTINUE[step];
  }

  routed(decision: RouteDecision, { step, body }: Routed): ProcessingResponse {
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
}

const CLUSTER_HEADER = setHeader(HEADER.cluster, CLUSTER.nodes);
const RETRY_NOT_FOUND = setHeader(HEADER.retriableStatusCodes, '404');

/** The ranked list, and the bones blanked: they hold pieces of prompts and would reach the access log. */
function metadata(destinations: string): { [key: string]: unknown } {
  return toStruct({
    [METADATA.lb]: { [METADATA.destination]: destinations },
    [METADATA.warmpath]: { [METADATA.bones]: '' },
  });
}
