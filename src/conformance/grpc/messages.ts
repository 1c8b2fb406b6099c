import { fileURLToPath } from 'node:url';
import { loadSync, type MethodDefinition } from '@grpc/proto-loader';

/** Where the .proto files lie, seen from src/conformance/grpc and from dist/conformance/grpc alike. */
const PROTO_DIR = fileURLToPath(new URL('../../../proto', import.meta.url));

/** google.protobuf.Struct. */
export interface Struct {
  readonly fields?: Readonly<Record<string, StructValue>>;
}
export interface StructValue {
  readonly stringValue?: string;
  readonly structValue?: Struct;
  readonly listValue?: { readonly values?: readonly StructValue[] };
}

export interface HeaderValue {
  readonly key?: string;
  readonly value?: string;
  readonly raw_value?: Uint8Array;
}

export interface HttpHeaders {
  readonly headers?: { readonly headers: readonly HeaderValue[] };
  readonly end_of_stream?: boolean;
}

export interface HttpBody {
  readonly body?: Uint8Array;
  readonly end_of_stream?: boolean;
}

export interface HttpTrailers {
  readonly trailers?: { readonly headers: readonly HeaderValue[] };
}

/** What a proxy says. One of the six first. */
export interface ProcessingRequest {
  readonly request_headers?: HttpHeaders;
  readonly response_headers?: HttpHeaders;
  readonly request_body?: HttpBody;
  readonly response_body?: HttpBody;
  readonly request_trailers?: HttpTrailers;
  readonly response_trailers?: HttpTrailers;
  readonly metadata_context?: { readonly filter_metadata: Readonly<Record<string, Struct>> };
  readonly protocol_config?: {
    readonly request_body_mode: number;
    readonly response_body_mode: number;
    readonly send_body_without_waiting_for_header_response?: boolean;
  };
}

export interface HeaderMutation {
  readonly set_headers?: readonly { readonly header?: HeaderValue }[];
  readonly remove_headers?: readonly string[];
}

export interface CommonResponse {
  readonly header_mutation?: HeaderMutation;
  readonly body_mutation?: {
    readonly body?: Buffer;
    readonly clear_body?: boolean;
    readonly streamed_response?: { readonly body?: Buffer; readonly end_of_stream?: boolean };
  };
  readonly clear_route_cache?: boolean;
}

export type ReplyKind =
  | 'request_headers'
  | 'response_headers'
  | 'request_body'
  | 'response_body'
  | 'request_trailers'
  | 'response_trailers'
  | 'immediate_response';

/** What a picker answers. `response` names the member that is set. */
export interface ProcessingResponse {
  readonly response?: ReplyKind;
  readonly request_headers?: { readonly response?: CommonResponse };
  readonly response_headers?: { readonly response?: CommonResponse };
  readonly request_body?: { readonly response?: CommonResponse };
  readonly response_body?: { readonly response?: CommonResponse };
  readonly request_trailers?: object;
  readonly response_trailers?: object;
  readonly immediate_response?: { readonly status?: { readonly code?: number }; readonly body?: Buffer };
  readonly dynamic_metadata?: Struct;
  readonly mode_override?: object;
  readonly override_message_timeout?: object;
}

export interface HealthReply {
  readonly status?: number;
}

/** A method's path, and how its messages are written and read. */
export interface Method<In, Out> {
  readonly path: string;
  write(message: In): Buffer;
  /** Throws where the bytes are no such message. */
  read(bytes: Buffer): Out;
}

export const PROCESS: Method<ProcessingRequest, ProcessingResponse> = method(
  'envoy/service/ext_proc/v3/external_processor.proto',
  'envoy.service.ext_proc.v3.ExternalProcessor',
  'Process',
);
export const HEALTH_CHECK: Method<{ readonly service: string }, HealthReply> = health('Check');
export const HEALTH_WATCH: Method<{ readonly service: string }, HealthReply> = health('Watch');

function health(name: string): Method<{ readonly service: string }, HealthReply> {
  return method('grpc/health/v1/health.proto', 'grpc.health.v1.Health', name);
}

function method<In extends object, Out>(file: string, service: string, name: string): Method<In, Out> {
  const loaded = loadSync(file, { includeDirs: [PROTO_DIR], keepCase: true, longs: Number, oneofs: true });
  const definition = loaded[service];
  if (definition === undefined || 'format' in definition) throw new Error(`${file} declares no ${service}`);
  const found: MethodDefinition<object, object> | undefined = definition[name];
  if (found === undefined) throw new Error(`${service} declares no ${name}`);
  return {
    path: found.path,
    write: (message) => found.requestSerialize(message),
    // sound: the .proto file binds the shape, which the interfaces above describe
    read: (bytes) => found.responseDeserialize(bytes) as Out,
  };
}
