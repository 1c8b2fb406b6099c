/**
 * Who asks over ext_proc, and so what the answers hold. `own`: the Envoy that Warmpath configures. `epp`: any gateway that speaks the
 * Endpoint Picker Protocol and walks a ranked list. `epp-single`: one that takes exactly one endpoint.
 */
export const PROFILE_NAMES = ['own', 'epp', 'epp-single'] as const;
export type ProfileName = (typeof PROFILE_NAMES)[number];

/** What keeps a connection from being gRPC at all; strangers that scan ports meet these too. */
export const CONNECTION_PROBLEMS = [
  'connection_plaintext', // to an address that wants TLS
  'connection_tls', // to an address without it
  'connection_without_alpn', // TLS that does not agree on HTTP/2
  'connection_not_http2', // whatever else is no HTTP/2
  'connection_certificate_refused', // ours, by the client
  'connection_handshake_failed', // TLS that came to nothing otherwise
] as const;
export type ConnectionProblem = (typeof CONNECTION_PROBLEMS)[number];

/** What is wrong with how a foreign Envoy calls us; bounded, so that it can be a metric label. */
export type ExtProcProblem =
  | ConnectionProblem
  | 'request_body_not_sent' // neither the body nor a way to ask for it
  | 'request_body_streamed' // pieces that cannot be held back until the model is known
  | 'request_body_partial' // the beginning of a body only
  | 'response_headers_not_sent' // what became of a request, and when it ended, stays unknown
  | 'response_trailers_not_sent' // duplex without trailers: an answer that has some would hang
  | 'response_body_held_back' // clients that stream see nothing before the end
  | 'served_endpoint_not_told' // neither metadata nor attribute says which node answered
  | 'observed_only' // observability mode: nothing that we answer is heeded
  | 'protocol_violation'; // messages that no Envoy sends
