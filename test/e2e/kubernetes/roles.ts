import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { InferencePoolSource } from '../../../src/discovery/inference-pool-source.ts';
import { KubernetesSource } from '../../../src/discovery/kubernetes-source.ts';
import { CHART } from '../../deploy/chart.ts';
import type { KubeApi, Manifest } from '../../support/kube-api.ts';
import type { KubeApiServer } from '../../support/kube-apiserver.ts';
import { manifestsOfPage, rendered } from '../../support/manifests.ts';
import { requireReal } from '../../support/require-real.ts';
import { staticTool } from '../../support/static-tools.ts';
import { type FollowedSource, followSource } from './follow-source.ts';
import { Pods } from './pods.ts';

/** As on the page. */
const NAMESPACE = 'ai';
const ACCOUNT = { name: 'warmpath', namespace: 'warmpath' };
const POOLS = `/apis/inference.networking.k8s.io/v1/namespaces/${NAMESPACE}/inferencepools`;
const SLICES = `/apis/discovery.k8s.io/v1/namespaces/${NAMESPACE}/endpointslices`;
const ROLES = `/apis/rbac.authorization.k8s.io/v1/namespaces/${NAMESPACE}`;

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

function roleIn(manifests: readonly { manifest: Manifest }[]): Manifest & { readonly rules: Rule[] } {
  const found = manifests.find(({ manifest }) => manifest.kind === 'Role')?.manifest;
  if (found === undefined) throw new Error('there is no Role');
  return found as Manifest & { readonly rules: Rule[] }; // a Role has rules
}

function sorted(rules: readonly Rule[]): string[] {
  return rules
    .map(({ apiGroups, resources, verbs }) => `${apiGroups} ${resources} ${[...verbs].sort()}`)
    .sort();
}

export function rolesSuite(serverOf: () => KubeApiServer): void {
  describe('the role that discovery needs', () => {
    const page = manifestsOfPage('docs/discovery.md');
    const documented = roleIn(page);
    let server: KubeApiServer;
    let api: KubeApi;
    let ours: KubeApi;
    let token: string;
    const open: FollowedSource[] = [];

    beforeAll(async () => {
      server = serverOf();
      api = server.admin;
      await api.install(['inference-extension']);
      for (const name of [NAMESPACE, ACCOUNT.namespace])
        await api.must('POST', '/api/v1/namespaces', { metadata: { name } });
      const accounts = `/api/v1/namespaces/${ACCOUNT.namespace}/serviceaccounts`;
      await api.must('POST', accounts, { metadata: { name: ACCOUNT.name } });
      const request = { spec: { audiences: [], expirationSeconds: 3_600 } };
      const answer = await api.must('POST', `${accounts}/${ACCOUNT.name}/token`, request);
      token = (answer as { status: { token: string } }).status.token;
      ours = server.as(token);
    });

    afterEach(async () => {
      for (const one of open.splice(0)) await one.end();
    });

    /** What our account may do in the namespace, beyond what every account may. */
    const rights = async (): Promise<string[]> => {
      const path = '/apis/authorization.k8s.io/v1/selfsubjectrulesreviews';
      const answer = await ours.must('POST', path, { spec: { namespace: NAMESPACE } });
      const { resourceRules } = (answer as { status: { resourceRules: Rule[] } }).status;
      return sorted(
        resourceRules.filter(
          ({ resources }) => !resources.every((one) => /^selfsubject.*reviews$/.test(one)),
        ),
      );
    };
    it('is the one of the page: without it nothing, with it both sources, and not a right more', async () => {
      const kubeconfig = server.kubeconfigWith(token);
      const slices = followSource(
        (deps) =>
          new KubernetesSource({
            ...deps,
            ...{ namespace: NAMESPACE, selector: 'app=ollama', port: undefined, kubeconfig },
          }),
      );
      const pool = followSource(
        (deps) => new InferencePoolSource({ ...deps, namespace: NAMESPACE, name: 'ollama', kubeconfig }),
      );
      open.push(slices, pool);
      await Promise.all([slices.warns(/\(403\).*endpointslices/), pool.warns(/\(403\).*inferencepools/)]);
      expect(await rights()).toEqual([]);

      await new Pods(api, NAMESPACE).create('ollama-0', { ip: '10.3.0.1' });
      await api.must('POST', POOLS, {
        apiVersion: 'inference.networking.k8s.io/v1',
        kind: 'InferencePool',
        metadata: { name: 'ollama' },
        spec: {
          selector: { matchLabels: { app: 'ollama' } },
          targetPorts: [{ number: 11_434 }],
          endpointPickerRef: { name: 'warmpath', port: { number: 9_002 } },
        },
      });
      await api.must('POST', SLICES, {
        metadata: { name: 'ollama', labels: { app: 'ollama' } },
        addressType: 'IPv4',
        ports: [{ name: 'http', port: 11_434 }],
        endpoints: [{ addresses: ['10.3.0.1'], targetRef: { kind: 'Pod', name: 'ollama-0', uid: 'x' } }],
      });
      const [role, binding, ...others] = page.map(({ manifest }) => manifest);
      expect([role?.kind, binding?.kind, others]).toEqual(['Role', 'RoleBinding', []]);
      for (const { manifest } of page)
        expect(await api.applied(manifest, { isDryRun: false })).toBeUndefined();
      await slices.sees('ollama-0 10.3.0.1:11434');
      await pool.sees('ollama-0 10.3.0.1:11434');
      expect(await rights()).toEqual(sorted(documented.rules));
    });

    it('may be limited to the one pool', async () => {
      const isOfPools = ({ resources }: Rule): boolean => resources.includes('inferencepools');
      const rules = documented.rules.map((rule) =>
        isOfPools(rule) ? { ...rule, resourceNames: ['ollama'] } : rule,
      );
      const path = `${ROLES}/roles/${documented.metadata.name}`;
      await api.must('PATCH', path, { rules }, 'application/merge-patch+json');
      const kubeconfig = server.kubeconfigWith(token);
      const [ours, other] = ['ollama', 'other'].map((name) =>
        followSource((deps) => new InferencePoolSource({ ...deps, namespace: NAMESPACE, name, kubeconfig })),
      ) as [FollowedSource, FollowedSource];
      open.push(ours, other);
      await other.warns(/\(403\).*inferencepools/);
      await ours.sees('ollama-0 10.3.0.1:11434');
      expect(ours.log.messages('warn')).toEqual([]);
    });

    it.each([
      ['create a pod', 'POST', `/api/v1/namespaces/${NAMESPACE}/pods`],
      ['delete a pod', 'DELETE', `/api/v1/namespaces/${NAMESPACE}/pods/ollama-0`],
      ['run something in a pod', 'POST', `/api/v1/namespaces/${NAMESPACE}/pods/ollama-0/exec?command=ls`],
      ['change the pool', 'PATCH', `${POOLS}/ollama`],
      ['write slices', 'POST', SLICES],
      ['read secrets', 'GET', `/api/v1/namespaces/${NAMESPACE}/secrets`],
      ['read pods elsewhere', 'GET', '/api/v1/namespaces/kube-system/pods'],
      ['read nodes', 'GET', '/api/v1/nodes'],
    ])('does not let us %s', async (_what, method, path) => {
      const type = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
      const { status } = await ours.call(method, path, method === 'GET' ? undefined : {}, type);
      expect(status).toBe(403);
    });

    it('is what the chart creates for the same sources, bound to the account of its pods', (context) => {
      const helm = requireReal(context, staticTool('helm'));
      const sources = [
        { kind: 'kubernetes', selector: 'app=ollama' },
        { kind: 'inferencepool', name: 'ollama' },
      ];
      const values = { discovery: { sources } };
      const release = { name: 'warmpath', namespace: NAMESPACE };
      const objects = rendered(helm, CHART, release, values);
      expect(sorted(roleIn(objects).rules)).toEqual(sorted(documented.rules));
      const binding = objects.find(({ manifest }) => manifest.kind === 'RoleBinding')?.manifest;
      const deployment = objects.find(({ manifest }) => manifest.kind === 'Deployment')?.manifest;
      expect(binding).toMatchObject({ roleRef: { kind: 'Role', name: roleIn(objects).metadata.name } });
      const { subjects } = binding as unknown as { subjects: { name: string }[] };
      expect(deployment).toMatchObject({
        spec: { template: { spec: { serviceAccountName: subjects[0]?.name } } },
      });
      expect(objects.filter(({ manifest }) => /^ClusterRole/.test(manifest.kind))).toEqual([]);
    });
  });
}
