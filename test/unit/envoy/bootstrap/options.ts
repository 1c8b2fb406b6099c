import {
  type BootstrapOptions,
  DEFAULT_LIMITS,
  DEFAULT_TIMEOUTS,
} from '../../../../src/envoy/bootstrap/options.ts';

/** What most tests of the bootstrap start from. */
export function bootstrapOptions(overrides: Partial<BootstrapOptions> = {}): BootstrapOptions {
  return {
    listen: { host: '0.0.0.0', port: 11434 },
    grpc: { kind: 'unix', path: '/run/warmpath/grpc.sock' },
    admin: { kind: 'unix', path: '/run/warmpath/envoy-admin.sock' },
    lastKnownFile: '/run/warmpath/nodes.json',
    tls: [],
    origins: [],
    hostnames: [],
    exposeHeaders: true,
    limits: DEFAULT_LIMITS,
    timeouts: DEFAULT_TIMEOUTS,
    ...overrides,
  };
}
