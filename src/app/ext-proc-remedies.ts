import type { ExtProcProblem } from './ext-proc-profile.ts';

/** What is wrong with how a proxy calls us, what follows from it, and what to change in its ext_proc filter or its cluster for us. */
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
  connection_plaintext:
    'a proxy speaks plaintext to the gRPC address, which wants TLS, so it gets no decisions: give its cluster for Warmpath TLS (Envoy: ' +
    'transport_socket with alpn_protocols h2; Istio: DestinationRule tls.mode SIMPLE; Envoy Gateway: tls of the Backend), or set ' +
    'extProc.tls to off here (--grpc-tls off)',
  connection_tls:
    'a proxy speaks TLS to the gRPC address, which is plaintext, so it gets no decisions: set extProc.tls here (--grpc-tls ' +
    'self-signed), or take TLS out of its cluster for Warmpath (Envoy: no transport_socket; Istio: DestinationRule tls.mode ' +
    'DISABLE; Envoy Gateway: no tls in the Backend)',
  connection_without_alpn:
    'a proxy speaks TLS to the gRPC address, but not HTTP/2 within it, so it gets no decisions: set alpn_protocols to h2 in its ' +
    'cluster for Warmpath (Envoy Gateway: alpnProtocols of the Backend), or take TLS out there and set extProc.tls to off here',
  connection_not_http2:
    'a proxy speaks something else than HTTP/2 to the gRPC address, so it gets no decisions: set http2_protocol_options in its ' +
    'cluster for Warmpath (Envoy Gateway: appProtocols gateway.envoyproxy.io/h2c of the Backend; Kubernetes: appProtocol ' +
    'kubernetes.io/h2c of the Service); if that is TLS, set extProc.tls here (--grpc-tls self-signed)',
  connection_certificate_refused:
    'a proxy does not trust the certificate of the gRPC address, so it gets no decisions: give it the CA (Envoy: trusted_ca), let it ' +
    'skip the check (Envoy: no validation_context; Istio, Envoy Gateway: insecureSkipVerify), or set extProc.tls to files here, ' +
    'with tlsCert and tlsKey that it trusts',
  connection_handshake_failed:
    'a TLS handshake at the gRPC address failed, for the reason in the log: let the proxy speak TLS 1.2 or later with usual ' +
    'ciphers (Envoy: tls_params), or give Warmpath a certificate that it can use (extProc.tlsCert and tlsKey)',
};

// Sound: the record has every problem for a key, and no others.
export const EXT_PROC_PROBLEMS = Object.keys(REMEDIES) as readonly ExtProcProblem[];

export function remedyFor(problem: ExtProcProblem): string {
  return REMEDIES[problem];
}
