import type { MethodDefinition, ServiceDefinition } from '@grpc/proto-loader';
import type { GrpcCall } from './call.ts';

/** Takes every call of one method. It listens at once. */
// biome-ignore lint/suspicious/noExplicitAny: each method has messages of its own; the .proto file is what binds them
export type CallHandler = (call: GrpcCall<any, any>) => void;

/** One gRPC service and how it takes part in a graceful stop. */
export interface GrpcService {
  readonly definition: ServiceDefinition;
  /** By the method's name in the .proto file. */
  readonly implementation: Readonly<Record<string, CallHandler>>;
  /** Resolves once no stream is open that a client's request depends on; absent where none ever does. */
  settled?(): Promise<void>;
  /** Ends every stream from our side, however much is left to say. */
  close(): void;
}

export interface Method {
  readonly definition: MethodDefinition<object, object>;
  readonly handle: CallHandler;
}

/** Every method of the services, by its path. Throws where a handler is for no method of its service. */
export function methodsOf(services: readonly GrpcService[]): ReadonlyMap<string, Method> {
  const methods = new Map<string, Method>();
  for (const { definition, implementation } of services) {
    for (const [name, handle] of Object.entries(implementation)) {
      const method = definition[name];
      if (method === undefined) throw new Error(`the service declares no method ${name}`);
      methods.set(method.path, { definition: method, handle });
    }
  }
  return methods;
}
