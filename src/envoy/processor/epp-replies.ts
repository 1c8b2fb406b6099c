import type { RouteDecision } from '../../app/types.ts';
import {
  ProcessingMode_BodySendMode as BodyMode,
  ProcessingMode_HeaderSendMode as HeaderMode,
  type ProcessingMode,
} from '../gen/envoy/extensions/filters/http/ext_proc/v3/processing_mode.ts';
import type {
  CommonResponse,
  HeaderMutation,
  ProcessingResponse,
} from '../gen/envoy/service/ext_proc/v3/external_processor.ts';
import { toStruct } from '../grpc/well-known.ts';
import { HEADER, METADATA } from '../names.ts';
import { destinationList, type ListOptions } from './destination-list.ts';
import { holdsBack, type StreamModes } from './modes.ts';
import { CONTINUE, Replies, type Routed, setHeader } from './replies.ts';
import type { Step } from './state.ts';

/** Answers as the Endpoint Picker Protocol has them, for gateways that others configure. */
export class EppReplies extends Replies {
  readonly #options: () => ListOptions;

  constructor(options: () => ListOptions) {
    super();
    this.#options = options;
  }

  askBody(modes: StreamModes): ProcessingResponse {
    return {
      request_headers: { response: { header_mutation: NO_STEERING } },
      mode_override: override(modes, BodyMode.BUFFERED),
    };
  }

  /** Wherever the gateway sends it by itself; not where the client says. */
  pass(step: Step): ProcessingResponse {
    if (step !== 'request_headers') return CONTINUE[step];
    return { request_headers: { response: { header_mutation: NO_STEERING } } };
  }

  /** Header and metadata hold the same: some gateways read the one, some the other. */
  routed(decision: RouteDecision, { step, head, modes, body }: Routed): ProcessingResponse {
    const list = destinationList(decision.addresses, this.#options());
    const set_headers = [setHeader(METADATA.destination, list), setHeader(HEADER.decision, decision.id)];
    if (body !== undefined) set_headers.push(setHeader('content-length', String(body.length)));
    const response: CommonResponse = { header_mutation: { set_headers }, clear_route_cache: true };
    const lb = { [METADATA.lb]: { [METADATA.destination]: list } };
    const hasBones = head.bones !== undefined;
    // Bones hold pieces of prompts and would reach the access log.
    const dynamic_metadata = toStruct(
      hasBones ? { ...lb, [METADATA.warmpath]: { [METADATA.bones]: '' } } : lb,
    );
    // The body goes its own way, and nothing can be asked for any more.
    if (modes.request === BodyMode.FULL_DUPLEX_STREAMED || modes.isEager)
      return { request_headers: { response }, dynamic_metadata };
    if (body !== undefined) response.body_mutation = { body };
    if (step === 'request_body') return { request_body: { response }, dynamic_metadata };
    return { request_headers: { response }, dynamic_metadata, mode_override: override(modes, BodyMode.NONE) };
  }
}

const NO_STEERING: HeaderMutation = { remove_headers: [METADATA.destination, HEADER.decision] };

/** An override replaces all modes: those of answers' bodies stay, but for one that would hold answers back to their end. */
function override({ response }: StreamModes, request_body_mode: BodyMode): ProcessingMode {
  return {
    request_header_mode: HeaderMode.SEND,
    request_body_mode,
    response_header_mode: HeaderMode.SEND,
    response_body_mode: holdsBack(response) ? BodyMode.NONE : response,
    response_trailer_mode: HeaderMode.SEND,
  };
}
