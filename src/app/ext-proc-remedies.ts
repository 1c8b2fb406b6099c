import type { ExtProcProblem } from './ext-proc-profile.ts';

/** What is wrong with how a proxy calls us, what follows from it, and what to change in its ext_proc filter. */
const REMEDIES: Readonly<Record<ExtProcProblem, string>> = {
  request_body_not_sent:
    'the proxy sends no request bodies, so requests pass unrouted: set request_body_mode to BUFFERED, or to ' +
    'FULL_DUPLEX_STREAMED with request_trailer_mode SEND, or allow_mode_override to true (Envoy Gateway: ' +
    'processingMode.request.body)',
  request_body_streamed:
    'the proxy sends request bodies in pieces that it does not hold back (STREAMED), so requests pass unrouted: set ' +
    'request_body_mode to BUFFERED, or to FULL_DUPLEX_STREAMED with request_trailer_mode SEND, or allow_mode_override to true',
  request_body_partial:
    'the proxy sends only the beginning of large request bodies (BUFFERED_PARTIAL), so these pass unrouted: set ' +
    'request_body_mode to BUFFERED and raise its buffer limit, or to FULL_DUPLEX_STREAMED with request_trailer_mode SEND',
  response_headers_not_sent:
    'the proxy does not tell what became of requests, so nodes are judged by polls only: set response_header_mode to SEND, ' +
    'or allow_mode_override to true (Envoy Gateway: processingMode.response)',
  response_trailers_not_sent:
    'the proxy does not tell when answers end, so requests seem to be over early, and with FULL_DUPLEX_STREAMED answers that ' +
    'have trailers would hang: set response_trailer_mode to SEND, or allow_mode_override to true',
  response_body_held_back:
    'the proxy holds answers back until they are whole (response_body_mode BUFFERED or BUFFERED_PARTIAL), so nothing streams and ' +
    'long ones fail: set response_body_mode to NONE, or allow_mode_override to true (Envoy Gateway: processingMode.response.body)',
  served_endpoint_not_told:
    'the proxy does not tell which endpoint answered, so the first of each list is assumed: forward the metadata namespace ' +
    'envoy.lb (metadata_options.forwarding_namespaces.untyped), or send the attribute upstream.address (response_attributes)',
  observed_only:
    'the proxy heeds no answer of ours, so requests pass unrouted: set observability_mode to false (Envoy Gateway: shadowMode) ' +
    'to have them routed',
  protocol_violation:
    'a proxy sent messages that ext_proc does not allow there, and the stream was ended: set request_header_mode to SEND ' +
    'where it is not, and see that nothing but your proxies reaches the gRPC address',
};

// Sound: the record has every problem for a key, and no others.
export const EXT_PROC_PROBLEMS = Object.keys(REMEDIES) as readonly ExtProcProblem[];

export function remedyFor(problem: ExtProcProblem): string {
  return REMEDIES[problem];
}
