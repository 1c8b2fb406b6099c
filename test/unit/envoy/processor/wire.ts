import type { ProcessingRequest } from '../../../../src/envoy/gen/envoy/service/ext_proc/v3/external_processor.ts';
import { loadService } from '../../../../src/envoy/grpc/load-proto.ts';

const { Process } = loadService(
  'envoy/service/ext_proc/v3/external_processor.proto',
  'envoy.service.ext_proc.v3.ExternalProcessor',
);

/** The message as it is read off the wire, defaults, kinds and buffers as the real reader gives them. */
export function overTheWire(message: ProcessingRequest): ProcessingRequest {
  if (Process === undefined) throw new Error('the service has no method Process');
  // Sound: the definition reads and writes messages of this type.
  return Process.requestDeserialize(Process.requestSerialize(message)) as ProcessingRequest;
}

type Value = { readonly stringValue: string } | { readonly listValue: { readonly values: readonly Value[] } };

export function stringValue(text: string): Value {
  return { stringValue: text };
}

export function listValue(items: readonly string[]): Value {
  return { listValue: { values: items.map(stringValue) } };
}
