import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { InferencePoolSource } from '../../../src/discovery/inference-pool-source.ts';
import { KubernetesSource } from '../../../src/discovery/kubernetes-source.ts';
import type { KubeApi, Manifest } from '../../support/kube-api.ts';
import type { KubeApiServer } from '../../support/kube-apiserver.ts';
import { waitFor } from '../../support/wait-for.ts';
import { type FollowedSource, followSource } from './follow-source.ts';
import { Pods } from './pods.ts';

const NAMESPACE = 'pools';
const POOL = `/apis/inference.networking.k8s.io/v1/namespaces/${NAMESPACE}/inferencepools/ollama`;
const DEFINITION =
  '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/inferencepools.inference.networking.k8s.io';
const PICKER = { name: 'warmpath', port: { number: 9_002 } };

interface PoolFields {
  readonly app?: string;
  readonly ports?: readonly number[];
  readonly appProtocol?: string;
}

function pool({ app = 'ollama', ports = [8_000], appProtocol = 'http' }: PoolFields = {}): Manifest {
  return {
    apiVersion: 'inference.networking.k8s.io/v1',
    kind: 'InferencePool',
    metadata: { name: 'ollama', namespace: NAMESPACE },
    ...{
      spec: {
        selector: { matchLabels: { app } },
        targetPorts: ports.map((number) => ({ number })),
        endpointPickerRef: PICKER,
        appProtocol,
      },
    },
  };
}

export function poolsSuite(serverOf: () => KubeApiServer): void {
  describe('an InferencePool', () => {
    let server: KubeApiServer;
    let api: KubeApi;
    let pods: Pods;
    const open: FollowedSource[] = [];

    beforeAll(async () => {
      server = serverOf();
      api = server.admin;
      pods = new Pods(api, NAMESPACE);
      await api.must('POST', '/api/v1/namespaces', { metadata: { name: NAMESPACE } });
    });

    afterEach(async () => {
      for (const one of open.splice(0)) await one.end();
      await pods.finishAll();
      await api.call('DELETE', POOL);
    });

    const apply = async (fields?: PoolFields): Promise<void> =>
      expect(await api.applied(pool(fields), { isDryRun: false })).toBeUndefined();
    const start = (kubeconfig = server.kubeconfig, name = 'ollama'): FollowedSource => {
      const one = followSource(
        (deps) => new InferencePoolSource({ ...deps, namespace: NAMESPACE, name, kubeconfig }),
      );
      open.push(one);
      return one;
    };

    it('without its definition in the cluster says what to install, and works once that is done', async () => {
      // A run before this one may have installed it.
      await api.call('DELETE', DEFINITION);
      await waitFor('no definition', async () => (await api.call('GET', DEFINITION)).status === 404);
      const source = start();
      await source.warns(/does not know inferencepools\.inference\.networking\.k8s\.io \(404\); install/);
      expect(source.said).toEqual([]);
      await api.install(['inference-extension']);
      await source.warns(/there is no InferencePool pools\/ollama; the nodes it named stay/);
      await pods.create('ollama-0', { ip: '10.2.0.1' });
      await apply();
      await source.sees('ollama-0 10.2.0.1:8000');
      expect(source.log.messages('info').at(-1)).toMatch(/works again/);
    });

    it('names its pods, each with its uid and port, as they come, change, end and go', async () => {
      await apply();
      const source = start();
      await source.sees();
      await pods.create('other', { ip: '10.2.0.9', app: 'nginx' });
      const uid = await pods.create('ollama-0');
      await pods.create('ollama-1', { ip: '10.2.0.2' });
      await source.sees('ollama-1 10.2.0.2:8000');
      await pods.report('ollama-0', { ip: '10.2.0.1', isReady: false });
      await source.sees('ollama-0 10.2.0.1:8000 drained', 'ollama-1 10.2.0.2:8000');
      expect(source.said.at(-1)?.find(({ name }) => name === 'ollama-0')).toMatchObject({
        source: 'kubernetes',
        identity: `pod:${uid}:8000`,
        labels: { namespace: NAMESPACE, pod: 'ollama-0', machine: 'machine-1' },
      });
      await pods.report('ollama-0', { ip: '10.2.0.1' });
      await source.sees('ollama-0 10.2.0.1:8000', 'ollama-1 10.2.0.2:8000');
      await pods.end('ollama-1');
      await source.sees('ollama-0 10.2.0.1:8000', 'ollama-1 10.2.0.2:8000 drained');
      await pods.finish('ollama-1');
      await source.sees('ollama-0 10.2.0.1:8000');
      expect(source.log.messages('warn')).toEqual([]);
    });

    it('takes other ports and another selector at once', async () => {
      await pods.create('old-0', { ip: '10.2.0.1' });
      await pods.create('new-0', { ip: '10.2.0.2', app: 'other' });
      await apply();
      const source = start();
      await source.sees('old-0 10.2.0.1:8000');
      await apply({ ports: [8_000, 8_001] });
      await source.sees('old-0-8000 10.2.0.1:8000', 'old-0-8001 10.2.0.1:8001');
      await apply({ app: 'other' });
      await source.sees('new-0 10.2.0.2:8000');
      // The former selector is no longer followed.
      const before = source.said.length;
      await pods.create('old-1', { ip: '10.2.0.3' });
      await pods.create('new-1', { ip: '10.2.0.4', app: 'other' });
      await source.sees('new-0 10.2.0.2:8000', 'new-1 10.2.0.4:8000');
      expect(source.said.slice(before).flat()).not.toContainEqual(expect.objectContaining({ name: 'old-1' }));
    });

    it('that is deleted, or asks for HTTP/2, keeps its nodes and says why, until it is right again', async () => {
      await pods.create('ollama-0', { ip: '10.2.0.1' });
      await apply();
      const source = start();
      await source.sees('ollama-0 10.2.0.1:8000');
      const before = source.said.length;
      await api.must('DELETE', POOL);
      await source.warns(/there is no InferencePool pools\/ollama; the nodes it named stay/);
      await apply({ appProtocol: 'kubernetes.io/h2c' });
      await source.warns(/asks for appProtocol kubernetes\.io\/h2c, but Ollama speaks HTTP\/1\.1 only/);
      // Nobody is named anew meanwhile, and nobody less.
      await pods.create('ollama-1', { ip: '10.2.0.2' });
      expect(source.said.slice(before)).toEqual([]);
      await apply();
      await source.sees('ollama-0 10.2.0.1:8000', 'ollama-1 10.2.0.2:8000');
    });

    it('is followed again after the API server was killed, as slices are, whatever changed meanwhile', async () => {
      await pods.create('ollama-0', { ip: '10.2.0.1' });
      await apply();
      const source = start();
      const slices = followSource(
        (deps) =>
          new KubernetesSource({
            ...deps,
            ...{ namespace: NAMESPACE, selector: 'app=ollama', port: undefined },
            kubeconfig: server.kubeconfig,
          }),
      );
      open.push(slices);
      await source.sees('ollama-0 10.2.0.1:8000');
      await slices.sees();
      const before = source.said.length;
      await server.kill();
      const trouble = /the API server cannot be reached .*nodes it named stay/;
      await Promise.all([source.warns(trouble), slices.warns(trouble)]);
      expect(source.said.slice(before)).toEqual([]);
      await server.resume();
      await pods.create('ollama-1', { ip: '10.2.0.2' });
      await apply({ ports: [8_001] });
      const path = `/apis/discovery.k8s.io/v1/namespaces/${NAMESPACE}/endpointslices`;
      await api.must('POST', path, {
        metadata: { name: 'one', labels: { app: 'ollama' } },
        addressType: 'IPv4',
        ports: [{ name: 'http', port: 80, protocol: 'TCP' }],
        endpoints: [{ addresses: ['10.2.0.7'], targetRef: { kind: 'Pod', name: 'seven', uid: '7' } }],
      });
      await source.sees('ollama-0 10.2.0.1:8001', 'ollama-1 10.2.0.2:8001');
      await slices.sees('seven 10.2.0.7:80');
      for (const { log } of [source, slices]) expect(log.messages('info').at(-1)).toMatch(/works again/);
    }, 120_000);

    it('that may not be read says which right is missing', async () => {
      const source = start(server.weakKubeconfig);
      await source.warns(
        /\(403\); our role needs list and watch on inferencepools\.inference\.networking\.k8s\.io in namespace pools/,
      );
      expect(source.said).toEqual([]);
    });
  });
}
