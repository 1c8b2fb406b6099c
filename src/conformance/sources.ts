/** https://github.com/kubernetes-sigs/gateway-api-inference-extension, docs/proposals/004-endpoint-picker-protocol */
function protocol(section: string): string {
  return `Endpoint Picker Protocol v1.0.0, section "${section}"`;
}

/** https://www.envoyproxy.io/docs/envoy/latest/api-v3/service/ext_proc/v3/external_processor.proto and its neighbours */
function extProc(message: string): string {
  return `Envoy API v3 reference, ${message}`;
}

export const SOURCE = {
  proposal: protocol('Proposal'),
  subset: protocol('Endpoint Subset'),
  destination: protocol('Destination Endpoint'),
  served: protocol('Destination Endpoint Served'),
  healthServices: protocol('Health Check Services'),
  healthProtocol: protocol('Health Check Protocol'),
  grpcHealth: 'gRPC Health Checking Protocol, which the section "Health Checking" adopts',
  processor: extProc('ext_proc ExternalProcessor'),
  /** No text asks for it outright. */
  robustness: `${extProc('ext_proc ExternalProcessor')}: each HTTP request has a stream of its own`,
  request: extProc('ext_proc ProcessingRequest'),
  response: extProc('ext_proc ProcessingResponse'),
  common: extProc('ext_proc CommonResponse'),
  immediate: extProc('ext_proc ImmediateResponse'),
  headerMutation: extProc('ext_proc HeaderMutation'),
  bodyMutation: extProc('ext_proc BodyMutation'),
  streamedBody: extProc('ext_proc StreamedBodyResponse'),
  bodyMode: extProc('ext_proc ProcessingMode.BodySendMode'),
  duplex: extProc('ext_proc ProcessingMode.BodySendMode, FULL_DUPLEX_STREAMED'),
  buffered: extProc('ext_proc ProcessingMode.BodySendMode, BUFFERED'),
} as const;
