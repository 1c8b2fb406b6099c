import type { ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';

/** One gRPC service and how it takes part in a graceful stop. */
export interface GrpcService {
  readonly definition: ServiceDefinition;
  readonly implementation: UntypedServiceImplementation;
  /** Resolves once no stream is open that a client's request depends on; absent where none ever does. */
  settled?(): Promise<void>;
  /** Ends every stream from our side, however much is left to say. */
  close(): void;
}
