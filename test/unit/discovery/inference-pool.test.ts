import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatOrigin } from '../../../src/app/host-port.ts';
import { poolCandidates, readPool } from '../../../src/discovery/inference-pool.ts';

interface PodFields {
  readonly ip?: string | undefined;
  readonly ready?: boolean;
  readonly ends?: boolean;
  readonly phase?: string;
  readonly name?: string;
  readonly metadata?: object;
}

function pod(uid: string, { ip, ready = true, ends = false, phase = 'Running', name, metadata }: PodFields) {
  return {
    metadata: {
      name: name ?? `pod-${uid}`,
      namespace: 'ai',
      uid,
      ...(ends ? { deletionTimestamp: new Date(0) } : {}),
      ...metadata,
    },
    spec: { nodeName: `machine-${uid}` },
    status: {
      phase,
      ...(ip === undefined ? {} : { podIP: ip }),
      conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }],
    },
  };
}

const view = (pods: readonly unknown[], ports: readonly number[] = [8_000]): string[] =>
  poolCandidates(pods, ports).map(
    ({ name, url, settings }) => `${name} ${formatOrigin(url)}${settings?.drain === true ? ' drained' : ''}`,
  );

describe('an InferencePool', () => {
  const spec = {
    selector: { matchLabels: { tier: 'gpu', app: 'ollama' } },
    targetPorts: [{ number: 11_434 }, { number: 8_001 }],
  };

  it('says which pods are its members and where they are reached', () => {
    const want = { selector: 'app=ollama,tier=gpu', ports: [11_434, 8_001] };
    expect(readPool({ spec }, 'ai/p')).toEqual(want);
    expect(readPool({ spec: { ...spec, appProtocol: 'http' } }, 'ai/p')).toEqual(want);
  });

  it.each([
    { name: 'is not there', raw: undefined, want: 'there is no InferencePool ai/p' },
    {
      name: 'wants HTTP/2',
      raw: { spec: { ...spec, appProtocol: 'kubernetes.io/h2c' } },
      want: /asks for appProtocol kubernetes\.io\/h2c, but Ollama speaks HTTP\/1\.1 only; set its appProtocol to http/,
    },
    {
      name: 'selects every pod',
      raw: { spec: { ...spec, selector: { matchLabels: {} } } },
      want: /ai\/p has no spec\.selector\.matchLabels/,
    },
    { name: 'has no port', raw: { spec: { ...spec, targetPorts: [] } }, want: /no spec\.targetPorts/ },
    { name: 'is something else', raw: { spec: 7 }, want: /no spec\.targetPorts/ },
  ])('that $name names no nodes, and why', ({ raw, want }) => {
    const read = readPool(raw, 'ai/p');
    expect('problem' in read ? read.problem : read).toMatch(want);
  });
});

describe('the nodes of an InferencePool', () => {
  it('are its pods by uid and port', () => {
    const [one] = poolCandidates([pod('a', { ip: '10.0.0.1' })], [8_000]);
    expect(one).toEqual({
      name: 'pod-a',
      url: { scheme: 'http', host: '10.0.0.1', port: 8_000 },
      source: 'kubernetes',
      identity: 'pod:a:8000',
      labels: { namespace: 'ai', pod: 'pod-a', machine: 'machine-a' },
    });
  });

  it('are as many as a pod has ports, with names that tell them apart however long the pod’s is', () => {
    const name = `ollama-${'x'.repeat(80)}`;
    expect(view([pod('a', { ip: '10.0.0.1' })], [8_000, 8_001])).toEqual([
      'pod-a-8000 http://10.0.0.1:8000',
      'pod-a-8001 http://10.0.0.1:8001',
    ]);
    const long = view([pod('a', { ip: '10.0.0.1', name })], [8_000, 8_001]);
    expect(long.map((line) => line.replace(/^ollama-x+/, ''))).toEqual([
      '-8000 http://10.0.0.1:8000',
      '-8001 http://10.0.0.1:8001',
    ]);
  });

  it('are drained where the pod ends or is not ready, unless none is: then only where it ends', () => {
    const unready = pod('b', { ip: '10.0.0.2', ready: false });
    const ends = pod('c', { ip: '10.0.0.3', ends: true });
    expect(view([pod('a', { ip: '10.0.0.1' }), unready, ends])).toEqual([
      'pod-a http://10.0.0.1:8000',
      'pod-b http://10.0.0.2:8000 drained',
      'pod-c http://10.0.0.3:8000 drained',
    ]);
    expect(view([unready, ends])).toEqual([
      'pod-b http://10.0.0.2:8000',
      'pod-c http://10.0.0.3:8000 drained',
    ]);
  });

  it('are none where a pod has no address yet, or has ended', () => {
    expect(
      view([
        pod('a', {}),
        pod('b', { ip: '' }),
        pod('c', { ip: '10.0.0.3', phase: 'Failed' }),
        pod('d', { ip: '10.0.0.4', phase: 'Succeeded' }),
      ]),
    ).toEqual([]);
  });

  it('are reached at the pod’s first address, of whichever family', () => {
    const six = pod('a', { ip: 'fd00::1' });
    const both = { ...six, status: { ...six.status, podIPs: [{ ip: 'fd00::1' }, { ip: '10.0.0.1' }] } };
    expect(view([both])).toEqual(['pod-a http://[fd00::1]:8000']);
  });

  it('are one where pods on the host’s network follow one another: the one that stays', () => {
    const old = pod('a', { ip: '192.168.1.7', ends: true });
    const next = pod('b', { ip: '192.168.1.7', ready: false });
    expect(view([old, next])).toEqual(['pod-b http://192.168.1.7:8000']);
    expect(view([next, old])).toEqual(['pod-b http://192.168.1.7:8000']);
  });

  it('are labelled with the zone where the cluster tells it to the pod', () => {
    const zoned = pod('a', {
      ip: '10.0.0.1',
      metadata: { labels: { 'topology.kubernetes.io/zone': 'z1', app: 'x' } },
    });
    const [one] = poolCandidates([zoned], [1]);
    expect(one?.labels).toMatchObject({ zone: 'z1' });
  });

  it('never throw, whatever the API server sends', () => {
    fc.assert(
      fc.property(fc.array(fc.anything()), fc.anything(), (pods, raw) => {
        const read = readPool(raw, 'ai/p');
        expect('problem' in read || read.ports.length > 0).toBe(true);
        expect(poolCandidates(pods, [1, 2]).length).toBeLessThanOrEqual(pods.length * 2);
      }),
    );
  });
});
