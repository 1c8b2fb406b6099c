import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatOrigin } from '../../../src/app/host-port.ts';
import { candidatesOf } from '../../../src/discovery/endpoint-slices.ts';

function endpoint(ip: string, uid: string, conditions: object = { ready: true }) {
  return { addresses: [ip], conditions, targetRef: { kind: 'Pod', name: `pod-${uid}`, uid } };
}

function slice(endpoints: readonly object[], fields: object = {}) {
  return { addressType: 'IPv4', ports: [{ name: 'http', port: 11_434 }], endpoints, ...fields };
}

const view = (slices: readonly unknown[], port?: number): string[] =>
  candidatesOf(slices, port).map(
    ({ name, url, settings }) => `${name} ${formatOrigin(url)}${settings?.drain === true ? ' drained' : ''}`,
  );

describe('the nodes of EndpointSlices', () => {
  it('are pods by their uid: one that is not ready or ends is drained, not gone', () => {
    const all = [
      endpoint('10.0.0.1', 'a'),
      endpoint('10.0.0.2', 'b', { ready: false }),
      endpoint('10.0.0.3', 'c', { ready: false, serving: true, terminating: true }),
      endpoint('10.0.0.4', 'd', {}),
    ];
    expect(view([slice(all)])).toEqual([
      'pod-a http://10.0.0.1:11434',
      'pod-b http://10.0.0.2:11434 drained',
      'pod-c http://10.0.0.3:11434 drained',
      'pod-d http://10.0.0.4:11434',
    ]);
    expect(candidatesOf([slice(all)], undefined)[0]?.identity).toBe('pod:a');
  });

  it('are not all drained because no pod is ready: the readiness check is wrong more likely', () => {
    const none = [
      endpoint('10.0.0.1', 'a', { ready: false }),
      endpoint('10.0.0.2', 'b', { ready: false, terminating: true }),
    ];
    expect(view([slice(none)])).toEqual([
      'pod-a http://10.0.0.1:11434',
      'pod-b http://10.0.0.2:11434 drained',
    ]);
  });

  it('are one for a pod with both families, at its IPv4 address', () => {
    const six = slice([endpoint('fd00::1', 'a')], { addressType: 'IPv6' });
    const four = slice([endpoint('10.0.0.1', 'a')]);
    expect(view([six, four])).toEqual(['pod-a http://10.0.0.1:11434']);
    expect(view([four, six])).toEqual(['pod-a http://10.0.0.1:11434']);
    expect(view([six])).toEqual(['pod-a http://[fd00::1]:11434']);
  });

  it('are one where pods on the machine’s network follow one another: the one that stays', () => {
    const old = endpoint('192.168.1.7', 'a', { ready: false, serving: true, terminating: true });
    const next = endpoint('192.168.1.7', 'b', { ready: false });
    expect(view([slice([old, next])])).toEqual(['pod-b http://192.168.1.7:11434']);
    expect(view([slice([old])])).toEqual(['pod-a http://192.168.1.7:11434 drained']);
  });

  it('are known by their address where no pod stands behind it', () => {
    const [candidate] = candidatesOf([slice([{ addresses: ['10.0.0.1'] }])], undefined);
    expect(candidate).toMatchObject({ name: undefined, identity: undefined });
  });

  it.each([
    { name: 'the configured one', ports: [{ port: 8_080 }], port: 24_000, want: 'http://10.0.0.1:24000' },
    {
      name: 'the one called ollama',
      ports: [
        { name: 'http', port: 80 },
        { name: 'ollama', port: 7 },
      ],
      want: 'http://10.0.0.1:7',
    },
    {
      name: 'Ollama’s own',
      ports: [{ name: 'metrics', port: 9 }, { port: 11_434 }],
      want: 'http://10.0.0.1:11434',
    },
    { name: 'the only one', ports: [{ port: 8_080 }], want: 'http://10.0.0.1:8080' },
    { name: 'one with TLS', ports: [{ name: 'https', port: 443 }], want: 'https://10.0.0.1:443' },
  ])('use of several ports $name', ({ ports, port, want }) => {
    expect(view([slice([endpoint('10.0.0.1', 'a')], { ports })], port)).toEqual([`pod-a ${want}`]);
  });

  it('are none where a slice names no port, or no addresses of machines', () => {
    expect(view([slice([endpoint('10.0.0.1', 'a')], { ports: [] })])).toEqual([]);
    expect(view([slice([endpoint('x.example', 'a')], { addressType: 'FQDN' })])).toEqual([]);
  });

  it('never throw, whatever the API server sends', () => {
    fc.assert(
      fc.property(fc.array(fc.anything()), (slices) => {
        expect(candidatesOf(slices, undefined).length).toBeLessThanOrEqual(slices.length * 10);
      }),
    );
  });
});
