import type { MethodDefinition, ServiceDefinition } from '@grpc/proto-loader';

/** A ProcessingResponse that is bytes already. */
export class EncodedResponse {
  readonly bytes: Buffer;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }
}

/** The service, whose streams take encoded responses beside all others. */
export function takingEncoded(definition: ServiceDefinition): ServiceDefinition {
  const taking = Object.entries(definition).map(([name, method]) => [name, withEncoded(method)] as const);
  return Object.fromEntries(taking);
}

function withEncoded(method: MethodDefinition<object, object>): MethodDefinition<object, object> {
  const serialize = method.responseSerialize;
  return {
    ...method,
    responseSerialize: (response) =>
      response instanceof EncodedResponse ? response.bytes : serialize(response),
  };
}
