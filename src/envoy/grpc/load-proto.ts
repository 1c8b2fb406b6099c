import { fileURLToPath } from 'node:url';
import type { ServiceDefinition } from '@grpc/grpc-js';
import { loadSync, type PackageDefinition } from '@grpc/proto-loader';

/** Where the .proto files lie, seen from src/envoy/grpc and from dist/envoy/grpc alike. */
export const PROTO_DIR = fileURLToPath(new URL('../../../proto', import.meta.url));

/** Objects as the generated types of src/envoy/gen describe them. */
export function loadProto(file: string): PackageDefinition {
  return loadSync(file, { includeDirs: [PROTO_DIR], keepCase: true, longs: Number, oneofs: true });
}

/** One service by its full name. Throws where the file does not declare it. */
export function loadService(file: string, name: string): ServiceDefinition {
  const definition = loadProto(file)[name];
  if (definition === undefined || 'format' in definition)
    throw new Error(`${file} declares no service ${name}`);
  return definition;
}
