import { describe, expect, it } from 'vitest';
import { clusters } from '../../../../src/envoy/bootstrap/clusters.ts';
import type { BootstrapOptions, SocketTarget } from '../../../../src/envoy/bootstrap/options.ts';
import { bootstrapOptions } from './options.ts';

const OTHERS: readonly SocketTarget[] = [
  { kind: 'tcp', host: '10.0.0.2', port: 9000 },
  { kind: 'tcp', host: '10.0.0.3', port: 9000 },
];

/** Addresses by priority. */
function endpoints(options: BootstrapOptions, name: string): unknown[][] {
  const cluster = clusters(options).find((each) => each.name === name);
  const { load_assignment: assignment } = cluster as unknown as {
    load_assignment: {
      endpoints: { priority?: number; lb_endpoints: { endpoint: { address: unknown } }[] }[];
    };
  };
  return assignment.endpoints.map(({ lb_endpoints }) => lb_endpoints.map(({ endpoint }) => endpoint.address));
}

const own = { pipe: { path: '/run/warmpath/grpc.sock' } };
const others = OTHERS.map((target) => ({
  socket_address: target.kind === 'tcp' ? { address: target.host, port_value: target.port } : {},
}));

describe('several control planes', () => {
  it('are asked in order: our own as long as it is healthy, then any of the others', () => {
    expect(endpoints(bootstrapOptions({ replicas: OTHERS }), 'warmpath')).toEqual([[own], others]);
  });

  it('all take subscriptions and logs', () => {
    expect(endpoints(bootstrapOptions({ replicas: OTHERS }), 'warmpath_feeds')).toEqual([[own, ...others]]);
  });

  it('are resolved again and again where one is a name', () => {
    const named: SocketTarget = { kind: 'tcp', host: 'warmpath.ns.svc', port: 9000 };
    const types = (options: BootstrapOptions) =>
      clusters(options)
        .filter(({ name }) => String(name).startsWith('warmpath'))
        .map(({ type, cluster_type }) => type ?? (cluster_type as { name: string }).name);
    const grpc: SocketTarget = { kind: 'tcp', host: '127.0.0.1', port: 9000 };
    expect(types(bootstrapOptions({ grpc, replicas: [...OTHERS, named] }))).toEqual([
      'envoy.cluster.dns',
      'envoy.cluster.dns',
    ]);
    expect(types(bootstrapOptions({ grpc, replicas: OTHERS }))).toEqual(['STATIC', 'STATIC']);
  });

  it('may leave out whom nobody reaches; the only one is never left out', () => {
    const withOutliers = (options: BootstrapOptions) =>
      clusters(options)
        .filter((each) => 'outlier_detection' in each)
        .map(({ name }) => name);
    expect(withOutliers(bootstrapOptions({ replicas: OTHERS }))).toEqual(['warmpath', 'warmpath_feeds']);
    expect(withOutliers(bootstrapOptions({}))).toEqual([]);
    expect(endpoints(bootstrapOptions({}), 'warmpath')).toEqual([[own]]);
  });
});
