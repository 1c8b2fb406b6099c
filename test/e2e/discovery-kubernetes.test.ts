import { DiscoveryV1Api, KubeConfig, type V1EndpointSlice } from '@kubernetes/client-node';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import type { Candidate } from '../../src/app/registry/registry-types.ts';
import { SystemClock } from '../../src/app/system-clock.ts';
import { KubernetesSource } from '../../src/discovery/kubernetes-source.ts';
import { KubeApiServer, realKubeApiServer } from '../support/kube-apiserver.ts';
import { MemoryLog } from '../support/memory-log.ts';
import { describeReal } from '../support/require-real.ts';
import { waitFor } from '../support/wait-for.ts';

const NAMESPACE = 'default';

interface Endpoint {
  readonly ip: string;
  readonly uid: string;
  readonly ready?: boolean;
  readonly terminating?: boolean;
}

function slice(name: string, endpoints: readonly Endpoint[], app = 'ollama'): V1EndpointSlice {
  return {
    metadata: { name, labels: { app } },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 11_434, protocol: 'TCP' }],
    endpoints: endpoints.map(({ ip, uid, ready = true, terminating = false }) => ({
      addresses: [ip],
      conditions: { ready, serving: ready, terminating },
      nodeName: `machine-${uid}`,
      targetRef: { kind: 'Pod', name: `pod-${uid}`, namespace: NAMESPACE, uid },
    })),
  };
}

/** A running source and what it said last. */
function follow(kubeconfig: string, selector = 'app=ollama') {
  const log = new MemoryLog();
  const stop = new AbortController();
  const said: (readonly Candidate[])[] = [];
  const source = new KubernetesSource({
    clock: new SystemClock(),
    random: () => 0,
    log,
    namespace: NAMESPACE,
    selector,
    port: undefined,
    kubeconfig,
  });
  const done = source.run((candidates) => void said.push(candidates), stop.signal);
  const view = (): string[] =>
    (said.at(-1) ?? [])
      .map(({ name, url, settings }) => `${name} ${url.host}${settings?.drain === true ? ' drained' : ''}`)
      .sort();
  const sees = (...want: string[]) =>
    waitFor(
      `${want.join(', ') || 'nothing'}; seen: ${view().join(', ')}`,
      () => said.length > 0 && JSON.stringify(view()) === JSON.stringify(want),
      { timeoutMs: 30_000 },
    );
  return {
    log,
    said,
    sees,
    end: async () => {
      stop.abort();
      await done;
    },
  };
}

describeReal(realKubeApiServer(), 'EndpointSlices of a real API server', (path) => {
  let server: KubeApiServer;
  let api: DiscoveryV1Api;
  const open: { end(): Promise<void> }[] = [];

  beforeAll(async () => {
    // Watches from etcd itself and short ones: compaction makes them expire, as weeks of history do elsewhere.
    server = await KubeApiServer.start(path, ['--watch-cache=false', '--min-request-timeout=1']);
    const config = new KubeConfig();
    config.loadFromFile(server.kubeconfig);
    api = config.makeApiClient(DiscoveryV1Api);
  }, 120_000);

  afterEach(async () => {
    for (const one of open.splice(0)) await one.end();
    await api.deleteCollectionNamespacedEndpointSlice({ namespace: NAMESPACE });
  });

  afterAll(() => server?.stop());

  const create = (body: V1EndpointSlice) => api.createNamespacedEndpointSlice({ namespace: NAMESPACE, body });
  const replace = (body: V1EndpointSlice) =>
    api.replaceNamespacedEndpointSlice({ namespace: NAMESPACE, name: body.metadata?.name ?? '', body });
  const start = (kubeconfig = server.kubeconfig) => {
    const one = follow(kubeconfig);
    open.push(one);
    return one;
  };

  it('become nodes that come, change and go', async () => {
    await create(slice('other', [{ ip: '10.1.9.9', uid: 'x' }], 'nginx'));
    const source = start();
    await source.sees();
    await create(slice('one', [{ ip: '10.1.0.1', uid: 'a' }]));
    await source.sees('pod-a 10.1.0.1');
    expect(source.said.at(-1)?.[0]).toMatchObject({
      source: 'kubernetes',
      identity: 'pod:a',
      url: { scheme: 'http', port: 11_434 },
      labels: { namespace: NAMESPACE, pod: 'pod-a', machine: 'machine-a' },
    });
    await create(slice('two', [{ ip: '10.1.0.2', uid: 'b' }]));
    await source.sees('pod-a 10.1.0.1', 'pod-b 10.1.0.2');
    await replace(slice('two', [{ ip: '10.1.0.2', uid: 'b', ready: false }]));
    await source.sees('pod-a 10.1.0.1', 'pod-b 10.1.0.2 drained');
    await replace(slice('one', [{ ip: '10.1.0.1', uid: 'c' }]));
    await source.sees('pod-b 10.1.0.2 drained', 'pod-c 10.1.0.1');
    await api.deleteNamespacedEndpointSlice({ namespace: NAMESPACE, name: 'two' });
    await source.sees('pod-c 10.1.0.1');
  });

  it('are followed again after the API server was killed, whatever changed meanwhile', async () => {
    await create(slice('one', [{ ip: '10.1.0.1', uid: 'a' }]));
    const source = start();
    await source.sees('pod-a 10.1.0.1');
    const before = source.said.length;
    await server.kill();
    await waitFor('the trouble is told', () => source.log.messages('warn').length > 0);
    // What it named last stays: no report says otherwise.
    expect(source.said.slice(before).every((said) => said.length === 1)).toBe(true);
    await server.resume();
    await waitFor('API', () => replace(slice('one', [{ ip: '10.1.0.2', uid: 'b' }])));
    await source.sees('pod-b 10.1.0.2');
    expect(source.log.messages('warn')[0]).toMatch(/the API server cannot be reached .*nodes it named stay/);
    expect(source.log.messages('info').at(-1)).toMatch(/works again/);
  }, 120_000);

  it('are listed again when the watch has expired (410), and nobody need be told', async () => {
    await create(slice('one', [{ ip: '10.1.0.1', uid: 'a' }]));
    const source = start();
    await source.sees('pod-a 10.1.0.1');
    const before = await server.lists();
    // History moves on elsewhere and is then forgotten, beyond where our watch stands.
    for (const n of ['1', '2', '3']) await create(slice(`noise-${n}`, [{ ip: '10.1.9.9', uid: n }], 'nginx'));
    await server.compact();
    await waitFor('a new list', async () => (await server.lists()) > before, { timeoutMs: 60_000 });
    await create(slice('two', [{ ip: '10.1.0.2', uid: 'b' }]));
    await source.sees('pod-a 10.1.0.1', 'pod-b 10.1.0.2');
    expect(source.log.messages('warn')).toEqual([]);
  }, 120_000);

  it('cannot be read without the right to, which is said in words that help', async () => {
    const source = start(server.weakKubeconfig);
    await waitFor('the trouble is told', () => source.log.messages('warn').length > 0);
    expect(source.log.messages('warn')[0]).toMatch(
      /\(403\); our role needs list and watch on endpointslices.discovery.k8s.io in namespace default/,
    );
    expect(source.said).toEqual([]);
  });

  it('cannot be read from a file that is not there', async () => {
    const source = start('/nonexistent/kubeconfig');
    await waitFor('the trouble is told', () => source.log.messages('warn').length > 0);
    expect(source.log.messages('warn')[0]).toMatch(
      /kubeconfig \/nonexistent\/kubeconfig cannot be read \(ENOENT\)/,
    );
  });
});
