import type { ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';

/** One gRPC service and how it takes part in a graceful stop. */
export interface GrpcService {
  readonly definition: ServiceDefinition;
  readonly implementation: UntypedServiceImplementation;
  /** Resolves once no stream is open that a client's request depends on; such services must not be cut short. */
  settled?(): Promise<void>;
  /** Ends the streams that would otherwise stay for ever (subscriptions, logs). */
  close?(): void;
}
