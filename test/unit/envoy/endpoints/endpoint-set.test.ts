import { describe, expect, it } from 'vitest';
import { EndpointPlanner, hostname } from '../../../../src/envoy/endpoints/endpoint-set.ts';
import { transportName } from '../../../../src/envoy/endpoints/transport-name.ts';
import { ModelIndex } from '../../../../src/fleet/model-index.ts';
import { newNode } from '../../../../src/fleet/new-node.ts';
import type {
  FleetSnapshot,
  NodeRecord,
  NodeSpec,
  NodeStatus,
  NodeUrl,
} from '../../../../src/fleet/types.ts';
import { spec as aSpec } from '../../fleet/builders.ts';

const EMPTY: FleetSnapshot = {
  version: 1,
  at: 0,
  nodes: [],
  byId: new Map(),
  byModel: new ModelIndex([], undefined),
};

function spec(id: string, more: Partial<NodeSpec> = {}): NodeSpec {
  return aSpec(id, { url: { scheme: 'http', host: id, port: 11434 }, ...more });
}

function record(
  node: NodeSpec,
  address: string | undefined,
  status: Exclude<NodeStatus, 'draining'> = 'ready',
): NodeRecord {
  const fresh = newNode(node, 0);
  return { ...fresh, address, health: { ...fresh.health, status } };
}

describe('endpoint set', () => {
  it('has every node with an address, ill ones marked', () => {
    const { set } = new EndpointPlanner().plan(
      [
        record(spec('ready', { token: 't' }), '10.0.0.1:1'),
        record(spec('down'), '10.0.0.2:1', 'down'),
        record(spec('suspect'), '10.0.0.3:1', 'suspect'),
        record(spec('unknown'), '10.0.0.4:1', 'unknown'),
        record(spec('draining', { drain: true }), '10.0.0.5:1'),
        record(spec('unresolved'), undefined),
      ],
      EMPTY,
    );
    const marks = set.endpoints.map(({ node, isHealthy, isDraining }) => [node, isHealthy, isDraining]);
    expect(marks).toEqual([
      ['ready', true, false],
      ['down', false, false],
      ['suspect', true, false],
      ['unknown', true, false],
      ['draining', true, true],
    ]);
    expect(set.endpoints[0]?.token).toBe('t');
  });

  it('leaves out the second node of an address and says so', () => {
    const nodes = [
      record(spec('a'), '10.0.0.1:1'),
      record(spec('b'), '10.0.0.1:1'),
      record(spec('c'), '10.0.0.1:2'),
    ];
    const { set, conflicts } = new EndpointPlanner().plan(nodes, EMPTY);
    expect(set.endpoints.map(({ node }) => node)).toEqual(['a', 'c']);
    expect(conflicts).toEqual([{ node: 'b', address: '10.0.0.1:1', keeper: 'a' }]);
  });
});

describe('host name', () => {
  it.each<{ url: NodeUrl; want: string }>([
    { url: { scheme: 'http', host: 'gpu1', port: 11434 }, want: 'gpu1:11434' },
    { url: { scheme: 'http', host: 'gpu1', port: 80 }, want: 'gpu1' },
    { url: { scheme: 'https', host: 'gpu1', port: 443 }, want: 'gpu1' },
    // The server name of TLS has no port.
    { url: { scheme: 'https', host: 'gpu1', port: 11434 }, want: 'gpu1' },
    { url: { scheme: 'https', host: 'fd00::1', port: 443 }, want: 'fd00::1' },
    { url: { scheme: 'http', host: 'fd00::1', port: 11434 }, want: '[fd00::1]:11434' },
  ])('$want', ({ url, want }) => {
    expect(hostname(url)).toBe(want);
  });
});

describe('transport', () => {
  const https: NodeUrl = { scheme: 'https', host: 'a', port: 443 };
  it('plain for http, tls for the system’s CAs, one of its own for each CA file', () => {
    expect(transportName(spec('a'))).toBe('plain');
    expect(transportName(spec('a', { url: https }))).toBe('tls');
    const one = transportName(spec('a', { url: https, tlsCaFile: '/ca/one.pem' }));
    const same = transportName(spec('b', { url: https, tlsCaFile: '/ca/one.pem' }));
    const other = transportName(spec('b', { url: https, tlsCaFile: '/ca/other.pem' }));
    expect(one).toMatch(/^tls-[0-9a-f]{12}$/);
    expect(same).toBe(one);
    expect(other).not.toBe(one);
  });

  it('one of its own for each address that a certificate must have', () => {
    const at = (host: string, tlsCaFile?: string) =>
      transportName(spec('a', { url: { scheme: 'https', host, port: 11434 }, tlsCaFile }));
    const names = [at('10.0.0.1'), at('10.0.0.2'), at('fd00::1'), at('10.0.0.1', '/ca/one.pem'), at('gpu1')];
    expect(new Set(names).size).toBe(5);
    expect(names.at(-1)).toBe('tls');
  });
});

describe('a planner', () => {
  it('hands the same endpoint out as long as Envoy would be told the same', () => {
    const planner = new EndpointPlanner();
    const one = record(spec('n1'), '10.0.0.1:1');
    const other = record(spec('n2'), '10.0.0.2:1');
    const before = planner.plan([one, other], EMPTY).set.endpoints;
    const polled = { ...one, rttMs: 7, spec: { ...one.spec, weight: 3 } };
    const down = record(other.spec, '10.0.0.2:1', 'down');
    const after = planner.plan([polled, down], EMPTY).set.endpoints;
    expect(after[0]).toBe(before[0]);
    expect(after[1]).toMatchObject({ node: 'n2', isHealthy: false });
  });

  it('marks a node that somebody drains, whatever the snapshot says', () => {
    const drains = new Map([['operator', { since: '', note: '', removeAt: undefined }]] as const);
    const { set } = new EndpointPlanner().plan([{ ...record(spec('n1'), '10.0.0.1:1'), drains }], EMPTY);
    expect(set.endpoints[0]?.isDraining).toBe(true);
  });
});
