import type { ExtProcProblem } from './ext-proc-profile.ts';

/** What is wrong with how a proxy calls us, what follows from it, and what to change there. */
const REMEDIES: Readonly<Record<ExtProcProblem, string>> = {
  request_body_not_sent:
    'the proxy sends no request bodies, so the model is unknown and requests go unrouted. Set request_body_mode: ' +
    'FULL_DUPLEX_STREAMED (with request_trailer_mode: SEND) or BUFFERED in its ext_proc filter, or allow_mode_override: ' +
    'true; in Envoy Gateway processingMode.request.body.',
  request_body_streamed:
    'the proxy sends request bodies in pieces that it passes on before the model is known, so requests go unrouted. Set ' +
    'request_body_mode: FULL_DUPLEX_STREAMED (with request_trailer_mode: SEND) or BUFFERED in its ext_proc filter instead ' +
    'of STREAMED, or allow_mode_override: true.',
  request_body_partial:
    'the proxy sends the beginning of request bodies only, so the model of a long one may stay unknown. Set ' +
    'request_body_mode: BUFFERED or FULL_DUPLEX_STREAMED in its ext_proc filter instead of BUFFERED_PARTIAL.',
  response_headers_not_sent:
    'the proxy does not say how answers begin, so what became of requests stays unknown and nodes are judged by polls ' +
    'only. Set response_header_mode: SEND in its ext_proc filter (in Envoy Gateway processingMode.response: {}).',
  response_trailers_not_sent:
    'answers that have trailers would hang: with FULL_DUPLEX_STREAMED bodies of answers the proxy must send trailers as ' +
    'well. Set response_trailer_mode: SEND in its ext_proc filter.',
  served_endpoint_not_told:
    'the proxy does not say which node answered, so the first of the list counts as the one that did. Let its ext_proc ' +
    'filter forward the metadata namespace envoy.lb (metadata_options.forwarding_namespaces.untyped) or send the response ' +
    'attribute upstream.address (response_attributes).',
  observed_only:
    'the proxy only watches: it heeds no answer, so requests go unrouted. Set observability_mode: false in its ext_proc ' +
    'filter (in Envoy Gateway shadowMode), unless you only want to see what Warmpath would decide.',
  protocol_violation:
    'messages came that no Envoy sends in that order; those streams were ended. Look who else reaches the gRPC address, and ' +
    'keep it to your proxies.',
};

export function remedyFor(problem: ExtProcProblem): string {
  return REMEDIES[problem];
}
