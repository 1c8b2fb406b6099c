import type { Config } from '../config/config.ts';
import { isLoopbackHost } from './destination.ts';

/** What to tell the operator of interfaces without a password that listen beyond this machine. */
export function exposureWarnings({ admin, grpc }: Pick<Config, 'admin' | 'grpc'>): string[] {
  const warnings: string[] = [];
  if (!isLoopbackHost(admin.host)) {
    warnings.push(
      `the admin interface listens on ${admin.host}: whoever reaches it reads node addresses, models and decisions ` +
        'without a password; bind it to 127.0.0.1 or shield it with a firewall',
    );
  }
  if (grpc?.kind === 'tcp' && !isLoopbackHost(grpc.host)) {
    warnings.push(
      `the gRPC interface listens on ${grpc.host}: whoever reaches it reads the nodes' tokens and can feign traffic; ` +
        'bind it to 127.0.0.1 or a Unix socket, or shield it so that only your Envoy reaches it',
    );
  }
  return warnings;
}
