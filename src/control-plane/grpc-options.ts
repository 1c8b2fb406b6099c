import { join } from 'node:path';
import type { Config } from '../config/config.ts';
import type { GrpcServerOptions, GrpcTls } from '../envoy/grpc/server.ts';
import { grpcBind } from './places.ts';

/** Where gRPC listens, with which TLS, and where health alone does. */
export function grpcOptions(
  config: Config,
): Pick<GrpcServerOptions, 'bind' | 'tls' | 'health' | 'anyAuthority'> {
  const { health, profile } = config.extProc;
  return {
    bind: grpcBind(config),
    tls: grpcTls(config),
    health: health === undefined ? undefined : { kind: 'tcp', ...health },
    // Our own Envoy, which nothing may slow down, names us as it should.
    anyAuthority: profile !== 'own',
  };
}

function grpcTls({ stateDir, extProc }: Config): GrpcTls {
  const { tls, tlsCert, tlsKey } = extProc;
  if (tls === 'self-signed') return { kind: 'self-signed', folder: join(stateDir, 'grpc-tls') };
  return tls === 'files' && tlsCert !== undefined && tlsKey !== undefined
    ? { kind: 'files', cert: tlsCert, key: tlsKey }
    : { kind: 'off' };
}
