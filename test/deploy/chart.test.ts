import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, it } from 'vitest';
import { parse } from 'yaml';
import { PINNED_ENVOY } from '../../src/envoy/bootstrap/version.ts';
import { complaints } from '../support/kubeconform.ts';
import { describeReal } from '../support/require-real.ts';
import { staticTool } from '../support/static-tools.ts';
import { CHART, helm, type Pod, type Rendered, render, template } from './chart.ts';
import { VALUES, VALUES_NAMES } from './chart-values.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const text = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const containers = (pod: Pod) => [...pod.initContainers, ...pod.containers];

describeReal(staticTool('helm'), 'Helm chart', () => {
  it('passes helm lint', () => {
    const done = helm(['lint', '--strict', '--kube-version', '1.36.0', CHART]);
    expect(done.output).toContain('0 chart(s) failed');
    expect(done.status).toBe(0);
  });

  it('takes the Envoy that is tested here', () => {
    expect(render({}).container('envoy').image).toBe(`envoyproxy/envoy:v${PINNED_ENVOY}`);
  });

  it('has the version of the program, and its rules and dashboard as they are elsewhere', () => {
    const { version } = JSON.parse(text('package.json'));
    expect(parse(text('deploy/helm/warmpath/Chart.yaml'))).toMatchObject({ version, appVersion: version });
    for (const [copy, original] of [
      ['warmpath.rules.yaml', 'deploy/prometheus/warmpath.rules.yaml'],
      ['warmpath.json', 'deploy/grafana/warmpath.json'],
    ] as const) {
      const isSame = text(`deploy/helm/warmpath/files/${copy}`) === text(original);
      expect(isSame, `the copy is old: cp ${original} deploy/helm/warmpath/files/`).toBe(true);
    }
  });

  it.for(VALUES_NAMES)('renders objects that fit their schemas: %s', (name, context) => {
    expect(complaints(context, render(VALUES[name]).yaml)).toBe('');
  });

  it.for(VALUES_NAMES)('gives no container more rights than it needs: %s', (name) => {
    for (const pod of render(VALUES[name]).pods) {
      expect(pod.securityContext).toMatchObject({
        runAsNonRoot: true,
        runAsUser: 10001,
        fsGroup: 10001,
        seccompProfile: { type: 'RuntimeDefault' },
      });
      expect(pod).not.toHaveProperty('hostNetwork');
      expect(containers(pod).length).toBeGreaterThan(0);
      for (const container of containers(pod)) {
        expect(container.securityContext).toEqual({
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          runAsNonRoot: true,
          capabilities: { drop: ['ALL'] },
        });
        expect(container.resources.limits).toHaveProperty('memory');
        expect(container.image).toMatch(/(?::v?\d[\w.-]*|@sha256:[0-9a-f]{64})$/);
      }
      for (const { startupProbe, livenessProbe, readinessProbe } of pod.containers)
        expect([startupProbe, livenessProbe, readinessProbe]).not.toContain(undefined);
    }
  });

  it('has no secret in its objects but for those that it makes', () => {
    const { yaml, objects } = render(VALUES.everything);
    expect(objects.filter(({ kind }) => kind === 'Secret')).toEqual([]);
    expect(yaml).toContain('tokenFile: /run/warmpath/secrets/node-gpu2-token');
    const rendered = render(VALUES.redis);
    const secret = expect.stringMatching(/^[\w+/]{43}=$/);
    expect(rendered.object('Secret warmpath-redis')).toMatchObject({ data: { password: secret } });
    expect(rendered.object('Secret warmpath-admin')).toMatchObject({ data: { token: secret } });
  });
});

describeReal(staticTool('helm'), 'Helm chart: what may be read and who may come in', () => {
  const rules = (rendered: Rendered, name: string) =>
    (rendered.object(`Role ${name}`).rules as { resources: string[]; verbs: string[] }[]).map(
      ({ resources, verbs }) => `${resources.join()}: ${verbs.join()}`,
    );
  const READ = 'list,watch';
  const whoHasToken = ({ pod }: Rendered) =>
    containers(pod)
      .filter(({ volumeMounts }) => volumeMounts.some((mount) => mount.name === 'api-token'))
      .map(({ name }) => name);

  it('asks for no right, and mounts no token, where no source needs the API', () => {
    const rendered = render(VALUES.default);
    expect(rendered.names.filter((name) => name.startsWith('Role'))).toEqual([]);
    expect(rendered.pod.automountServiceAccountToken).toBe(false);
    expect(whoHasToken(rendered)).toEqual([]);
  });

  it('asks in each namespace for what the sources there read', () => {
    const rendered = render(VALUES.everything);
    expect(rules(rendered, 'warmpath')).toEqual([
      `endpointslices: ${READ}`,
      `inferencepools: ${READ}`,
      `pods: ${READ}`,
    ]);
    expect(rules(rendered, 'ai-warmpath')).toEqual([`endpointslices: ${READ}`]);
    expect(rendered.object('Role ai-warmpath').metadata.namespace).toBe('gpus');
    expect(rendered.object('RoleBinding ai-warmpath')).toMatchObject({
      metadata: { namespace: 'gpus' },
      subjects: [{ kind: 'ServiceAccount', name: 'warmpath', namespace: 'ai' }],
    });
    expect(rendered.pod.automountServiceAccountToken).toBe(false);
    expect(whoHasToken(rendered)).toEqual(['control-plane']);
  });

  it('finds the pods of the pool that it makes', () => {
    const rendered = render(VALUES.epp);
    expect(parse(rendered.config).discovery.sources).toEqual([
      { kind: 'inferencepool', name: 'ollama', namespace: 'ai' },
    ]);
    expect(rules(rendered, 'warmpath')).toEqual([`inferencepools: ${READ}`, `pods: ${READ}`]);
    expect(rendered.object('InferencePool ollama')).toMatchObject({
      spec: {
        endpointPickerRef: { name: 'warmpath', port: { number: 9002 } },
        targetPorts: [{ number: 11434 }],
      },
    });
  });

  it('serves a picker without TLS where the values say off, which Helm reads as false', () => {
    for (const tls of ['off', false]) {
      const rendered = render({ mode: 'epp', endpointPicker: { tls } });
      expect(parse(rendered.config).extProc.tls).toBe('off');
      expect(rendered.object('Service warmpath')).toMatchObject({
        spec: { ports: [{ name: 'grpc', appProtocol: 'kubernetes.io/h2c' }, { name: 'grpc-health' }] },
      });
    }
  });

  it('lets clients come to the clients’ port, pods to the metrics, and only Warmpath to Redis', () => {
    const rendered = render(VALUES.redis);
    const pods = { 'app.kubernetes.io/name': 'warmpath', 'app.kubernetes.io/component': 'control-plane' };
    expect(rendered.object('NetworkPolicy warmpath')).toMatchObject({
      spec: {
        ingress: [
          { ports: [{ port: 'clients' }] },
          { ports: [{ port: 'admin' }], from: [{ namespaceSelector: {} }] },
        ],
      },
    });
    expect(rendered.object('NetworkPolicy warmpath-redis')).toMatchObject({
      spec: { ingress: [{ from: [{ podSelector: { matchLabels: pods } }] }] },
    });
  });
});

describeReal(staticTool('helm'), 'Helm chart: rollouts', () => {
  const restartFor = (values: object) =>
    render(values).deployment.spec.template.metadata.annotations['checksum/restart-for'];

  it.each([
    ['a node', { nodes: [{ name: 'gpu1', url: 'http://10.0.0.11:11434' }] }],
    ['an alias', { config: { models: { a: ['b'] } } }],
    ['a source', { discovery: { trust: 'lan', sources: [{ kind: 'dns', name: 'ollama.lan' }] } }],
    ['how nodes are polled', { config: { poll: { interval: '2s' } } }],
  ])('%s changes no pod', (_, values) => {
    expect(restartFor(values)).toBe(restartFor({}));
  });

  it.each([
    ['Redis', { store: { url: 'redis://cache:6379' } }],
    ['what Envoy is told', { config: { routing: { loadTimeout: '10m' } } }],
    ['the first client with a key', { clients: [{ name: 'a', keySecret: { name: 'a', key: 'b' } }] }],
    ['a CA', { nodes: [{ name: 'a', url: 'https://a', tlsCaSecret: { name: 'a', key: 'b' } }] }],
  ])('%s replaces the pods', (_, values) => {
    expect(restartFor(values)).not.toBe(restartFor({}));
  });

  it('gives a pod more time to end than its drain may take', () => {
    const pod = render({ drain: { delaySeconds: 7, timeoutSeconds: 100 } }).pod;
    expect(pod.terminationGracePeriodSeconds).toBe(127);
    expect(pod.containers.map(({ livenessProbe }) => livenessProbe?.terminationGracePeriodSeconds)).toEqual([
      10, 10,
    ]);
  });
});

describeReal(staticTool('helm'), 'Helm chart: wrong values', () => {
  const node = { name: 'a', url: 'http://a' };
  it.each<[string, object, string]>([
    ['an unknown key', { replica: 3 }, "additional properties 'replica' not allowed"],
    ['no replica', { replicas: 0 }, "at '/replicas': minimum: got 0, want 1"],
    ['an unknown mode', { mode: 'proxy' }, "at '/mode': value must be one of 'gateway', 'epp'"],
    ['a node without a scheme', { nodes: [{ ...node, url: 'gpu1:11434' }] }, "at '/nodes/0/url'"],
    [
      'a token in place of a reference',
      { nodes: [{ ...node, token: 'x' }] },
      "properties 'token' not allowed",
    ],
    ['a password in a URL', { store: { url: 'redis://:secret@cache' } }, "at '/store/url'"],
    [
      'half a reference',
      { adminTokenSecret: { name: 'x' } },
      "at '/adminTokenSecret': properties 'key' required, if 'name' exists",
    ],
    [
      'a tag that moves',
      { image: { repository: 'warmpath', tag: 'latest' } },
      'image warmpath: name a version',
    ],
    [
      'an Envoy without a shell',
      { envoy: { image: { tag: 'distroless-v1.40.0' } } },
      'envoy.image.tag: a distroless Envoy has no shell',
    ],
    ['what the chart decides', { config: { listen: ':80' } }, 'config.listen: the chart sets this itself'],
    ['an unknown section', { config: { rooting: {} } }, "at '/config': additional properties 'rooting'"],
    ['two Redises', { redis: { enabled: true }, store: { url: 'redis://c' } }, 'name one Redis, not several'],
    [
      'TLS files that nobody has',
      { mode: 'epp', endpointPicker: { tls: 'files' } },
      'tls: files needs endpointPicker.tlsSecret',
    ],
    [
      'a pool of nobody',
      { mode: 'epp', endpointPicker: { inferencePool: { create: true } } },
      'inferencePool.create needs selector: the labels of the Ollama pods',
    ],
    ['a route to nowhere', { httpRoute: { enabled: true } }, 'httpRoute.enabled needs httpRoute.parentRefs'],
    ['agents without a token', { agents: { enabled: true } }, 'agents.enabled needs agents.joinTokenSecret'],
  ])('%s is refused, saying where', (_, values, want) => {
    const { status, output } = template(values);
    expect(output).toContain(want);
    expect(status).not.toBe(0);
  });
});
