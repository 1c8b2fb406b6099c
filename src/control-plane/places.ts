import { join } from 'node:path';
import type { Config } from '../config/config.ts';
import type { GrpcBind } from '../envoy/grpc/bind.ts';

/** Where Envoy and the control plane meet, and what they leave for each other, all within the state directory. */
export function grpcBind(config: Config): GrpcBind {
  return config.grpc ?? { kind: 'unix', path: join(config.stateDir, 'grpc.sock') };
}

export function envoyAdminPath(stateDir: string): string {
  return join(stateDir, 'envoy-admin.sock');
}

/** File EDS; Envoy watches its folder, so it has one of its own. */
export function lastKnownPath(stateDir: string): string {
  return join(stateDir, 'nodes', 'last-known.json');
}
