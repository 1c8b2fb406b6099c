import { fileURLToPath } from 'node:url';
import {
  type AnyDefinition,
  loadSync,
  type MessageTypeDefinition,
  type ServiceDefinition,
} from '@grpc/proto-loader';

/** Where the .proto files lie, seen from src/envoy/grpc and from dist/envoy/grpc alike. */
export const PROTO_DIR = fileURLToPath(new URL('../../../proto', import.meta.url));

/**
 * One service by its full name, with messages as the generated types of src/envoy/gen describe them. `packed`: files
 * with the messages that travel inside a google.protobuf.Any. Throws where the file does not declare the service.
 */
export function loadService(file: string, name: string, packed: readonly string[] = []): ServiceDefinition {
  const loaded = loadSync([file, ...packed], {
    includeDirs: [PROTO_DIR],
    keepCase: true,
    longs: Number,
    oneofs: true,
    // Any is given and taken as its content with `@type`.
    json: packed.length > 0,
  });
  const definition = loaded[name];
  if (definition === undefined || 'format' in definition)
    throw new Error(`${file} declares no service ${name}`);
  return definition;
}

/** Writes messages of one type, named in full, as the generated types describe them. */
export function loadMessage(file: string, name: string): (message: object) => Buffer {
  const definition = loadSync(file, {
    includeDirs: [PROTO_DIR],
    keepCase: true,
    longs: Number,
    oneofs: true,
  })[name];
  if (definition === undefined || !isMessage(definition))
    throw new Error(`${file} declares no message ${name}`);
  return definition.serialize;
}

function isMessage(definition: AnyDefinition): definition is MessageTypeDefinition<object, object> {
  return 'format' in definition && 'serialize' in definition;
}
