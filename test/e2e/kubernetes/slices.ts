import { DiscoveryV1Api, KubeConfig, type V1EndpointSlice } from '@kubernetes/client-node';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { KubernetesSource } from '../../../src/discovery/kubernetes-source.ts';
import type { KubeApiServer } from '../../support/kube-apiserver.ts';
import { waitFor } from '../../support/wait-for.ts';
import { type FollowedSource, followSource } from './follow-source.ts';

const NAMESPACE = 'slices';

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

export function slicesSuite(serverOf: () => KubeApiServer): void {
  describe('EndpointSlices', () => {
    let server: KubeApiServer;
    let api: DiscoveryV1Api;
    const open: FollowedSource[] = [];

    beforeAll(async () => {
      server = serverOf();
      const config = new KubeConfig();
      config.loadFromFile(server.kubeconfig);
      api = config.makeApiClient(DiscoveryV1Api);
      await server.admin.must('POST', '/api/v1/namespaces', { metadata: { name: NAMESPACE } });
    });

    afterEach(async () => {
      for (const one of open.splice(0)) await one.end();
      await api.deleteCollectionNamespacedEndpointSlice({ namespace: NAMESPACE });
    });

    const create = (body: V1EndpointSlice) =>
      api.createNamespacedEndpointSlice({ namespace: NAMESPACE, body });
    const replace = (body: V1EndpointSlice) =>
      api.replaceNamespacedEndpointSlice({ namespace: NAMESPACE, name: body.metadata?.name ?? '', body });
    const start = (kubeconfig = server.kubeconfig): FollowedSource => {
      const one = followSource(
        (deps) =>
          new KubernetesSource({
            ...deps,
            ...{ namespace: NAMESPACE, selector: 'app=ollama', port: undefined, kubeconfig },
          }),
      );
      open.push(one);
      return one;
    };

    it('become nodes that come, change and go', async () => {
      await create(slice('other', [{ ip: '10.1.9.9', uid: 'x' }], 'nginx'));
      const source = start();
      await source.sees();
      await create(slice('one', [{ ip: '10.1.0.1', uid: 'a' }]));
      await source.sees('pod-a 10.1.0.1:11434');
      expect(source.said.at(-1)?.[0]).toMatchObject({
        source: 'kubernetes',
        identity: 'pod:a',
        url: { scheme: 'http', port: 11_434 },
        labels: { namespace: NAMESPACE, pod: 'pod-a', machine: 'machine-a' },
      });
      await create(slice('two', [{ ip: '10.1.0.2', uid: 'b' }]));
      await source.sees('pod-a 10.1.0.1:11434', 'pod-b 10.1.0.2:11434');
      await replace(slice('two', [{ ip: '10.1.0.2', uid: 'b', ready: false }]));
      await source.sees('pod-a 10.1.0.1:11434', 'pod-b 10.1.0.2:11434 drained');
      await replace(slice('one', [{ ip: '10.1.0.1', uid: 'c' }]));
      await source.sees('pod-b 10.1.0.2:11434 drained', 'pod-c 10.1.0.1:11434');
      await api.deleteNamespacedEndpointSlice({ namespace: NAMESPACE, name: 'two' });
      await source.sees('pod-c 10.1.0.1:11434');
    });

    it('are listed again when the watch has expired (410), and nobody need be told', async () => {
      // Watches from etcd itself and short ones: compaction makes them expire, as weeks of history do elsewhere.
      await server.kill();
      await server.resume(['--watch-cache=false', '--min-request-timeout=1']);
      await create(slice('one', [{ ip: '10.1.0.1', uid: 'a' }]));
      const source = start();
      await source.sees('pod-a 10.1.0.1:11434');
      const before = await server.lists();
      // History moves on elsewhere and is then forgotten, beyond where our watch stands.
      for (const n of ['1', '2', '3'])
        await create(slice(`noise-${n}`, [{ ip: '10.1.9.9', uid: n }], 'nginx'));
      await server.compact();
      await waitFor('a new list', async () => (await server.lists()) > before, { timeoutMs: 60_000 });
      await create(slice('two', [{ ip: '10.1.0.2', uid: 'b' }]));
      await source.sees('pod-a 10.1.0.1:11434', 'pod-b 10.1.0.2:11434');
      expect(source.log.messages('warn')).toEqual([]);
    }, 120_000);

    it('cannot be read without the right to, which is said in words that help', async () => {
      const source = start(server.weakKubeconfig);
      await source.warns(
        /\(403\); our role needs list and watch on endpointslices.discovery.k8s.io in namespace slices/,
      );
      expect(source.said).toEqual([]);
    });

    it('cannot be read from a file that is not there', async () => {
      const source = start('/nonexistent/kubeconfig');
      await source.warns(/kubeconfig \/nonexistent\/kubeconfig cannot be read \(ENOENT\)/);
    });
  });
}
