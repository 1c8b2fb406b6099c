import type { EndpointSet, EnvoyEndpoint } from '../../../../src/app/types.ts';

export function endpoint(node: string, more: Partial<EnvoyEndpoint> = {}): EnvoyEndpoint {
  const number = Number(node.replace(/\D/g, '')) || 1;
  return {
    node,
    address: `10.0.0.${number}:11434`,
    hostname: `${node}:11434`,
    token: undefined,
    transport: 'plain',
    isHealthy: true,
    isDraining: false,
    ...more,
  };
}

export function setOf(...nodes: string[]): EndpointSet {
  return { endpoints: nodes.map((node) => endpoint(node)) };
}
