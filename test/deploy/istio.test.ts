import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { parseDuration } from '../../src/config/duration.ts';
import { loadConfig } from '../../src/config/load.ts';
import { INFERENCE_ENDPOINTS, READS } from '../../src/request/endpoints.ts';
import { LONGEST_ASKED_WAIT_MS } from '../../src/waiting/longest-wait.ts';
import { deployManifests, deployPath, type Loose, manifests } from '../e2e/meshes/bootstrap.ts';
import { complaints } from '../support/kubeconform.ts';
import { requireReal } from '../support/require-real.ts';
import { staticTool } from '../support/static-tools.ts';

const PAGE = fileURLToPath(new URL('../../docs/meshes/istio.md', import.meta.url));
const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const WITH_FILTER = ['gateway.yaml', 'sidecar.yaml'];
const FILES = [...WITH_FILTER, 'inference-pool.yaml'];
const IMAGE = '../../deploy/docker/control-plane.Dockerfile';

const text = (file: string): string => readFileSync(deployPath(`istio/${file}`), 'utf8');
const of = (file: string, kind: string): Loose[] =>
  deployManifests(`istio/${file}`).filter((each) => each.kind === kind);
const one = (file: string, kind: string): Loose => of(file, kind)[0];

describe.each(FILES)('deploy/istio/%s', (file) => {
  it('fits the schemas of Kubernetes and Istio', (context) => {
    expect(complaints(context, text(file))).toBe('');
    expect(complaints(context, text(file).replace('host: warmpath', 'hosts: warmpath'))).toContain('hosts');
  });

  it('lets through exactly what Warmpath serves', () => {
    const virtual = of(file, 'VirtualService').flatMap(({ spec }) =>
      spec.http.flatMap(({ match }: Loose) =>
        match.map(({ uri, method }: Loose) => [uri.regex, method.exact ?? method.regex]),
      ),
    );
    const http = of(file, 'HTTPRoute').flatMap(({ spec }) =>
      spec.rules.flatMap(({ matches }: Loose) =>
        matches.map(({ path, method }: Loose) => [path.value, method]),
      ),
    );
    const matches: [string, string][] = [...virtual, ...http];
    const allows = (asked: string, path: string): boolean =>
      matches.some(([regex, method]) => method.split('|').includes(asked) && whole(regex).test(path));
    for (const { path } of INFERENCE_ENDPOINTS) {
      expect(allows('POST', path), path).toBe(true);
      expect(allows('GET', path), path).toBe(false);
    }
    for (const { path, isPrefix } of READS)
      expect(allows('GET', isPrefix ? `${path}model` : path), path).toBe(true);
    const management = ['pull', 'push', 'create', 'copy', 'delete', 'blobs/sha256:0'];
    for (const path of [...management.map((name) => `/api/${name}`), '/api/chat/', '/v2', '/v1/models/a/b'])
      for (const method of ['GET', 'POST', 'DELETE']) expect(allows(method, path), path).toBe(false);
  });
});

describe.each(WITH_FILTER)('deploy/istio/%s', (file) => {
  const [container] = one(file, 'Deployment').spec.template.spec.containers;
  const env: Record<string, string> = Object.fromEntries(
    container.env.map(({ name, value }: Loose) => [name, value]),
  );

  it('starts a control plane whose settings are valid and fit the routes', async () => {
    const { config } = await loadConfig({ env });
    expect(config.extProc.profile).toBe('epp');
    expect(config.grpc).toMatchObject({ kind: 'tcp', port: container.ports[0].containerPort });
    const [{ retries }] = one(file, 'VirtualService').spec.http;
    expect(config.extProc.minEndpoints).toBe(retries.attempts + 1);
    expect(parseDuration(retries.perTryTimeout)).toBeGreaterThanOrEqual(config.routing.answerTimeout);
  });

  it('names the same machines to the control plane and to the mesh', async () => {
    const { config } = await loadConfig({ env });
    const entries = of(file, 'WorkloadEntry').map(({ spec }) => spec.address);
    const endpoints = of(file, 'ServiceEntry').flatMap(({ spec }) => spec.endpoints);
    const machines = [...entries, ...endpoints.map(({ address }) => address)];
    expect(config.nodes.map(({ url }) => url.host)).toEqual(machines);
  });

  it('lets requests wait as long as the line may hold them', () => {
    const [{ patch }] = one(file, 'EnvoyFilter').spec.configPatches;
    const { max_message_timeout } = patch.value.typed_config;
    expect(parseDuration(max_message_timeout)).toBeGreaterThanOrEqual(LONGEST_ASKED_WAIT_MS);
  });

  it("runs the image as the image's own user", () => {
    const [, user] = /^USER (\d+)/m.exec(readFileSync(new URL(IMAGE, import.meta.url), 'utf8')) ?? [];
    expect(String(container.securityContext.runAsUser)).toBe(user);
  });
});

describe('the chart, as inference-pool.yaml asks for it', () => {
  it('makes the picker that the pool names, and takes its nodes from that pool', (context) => {
    const helm = requireReal(context, staticTool('helm'));
    const head = text('inference-pool.yaml').split('apiVersion')[0] ?? '';
    const words =
      head
        .replaceAll(/^# ?/gm, '')
        .replaceAll('\\\n', ' ')
        .match(/helm install (.*)/)?.[1] ?? '';
    const flags = words.replaceAll("'", '').replace('--create-namespace', '').split(/ +/);
    const options = ['template', ...flags, '--kube-version', '1.36.3'];
    const made = manifests(execFileSync(helm, options, { encoding: 'utf8', cwd: ROOT }));
    const [pool, rule] = ['InferencePool', 'DestinationRule'].map((kind) => one('inference-pool.yaml', kind));
    const { name, port } = pool.spec.endpointPickerRef;
    const picker = made.find(({ kind, metadata }) => kind === 'Service' && metadata.name === name);
    expect(picker.metadata.namespace ?? pool.metadata.namespace).toBe(pool.metadata.namespace);
    expect(picker.spec.ports.map((each: Loose) => each.port)).toContain(port.number);
    expect(rule.spec.host).toBe(`${name}.${pool.metadata.namespace}.svc.cluster.local`);
    const { data } = made.find(({ kind }) => kind === 'ConfigMap');
    const config = parse(data['warmpath.yaml']);
    expect(config.extProc).toMatchObject({ profile: 'epp', tls: 'self-signed', minEndpoints: 3 });
    expect(config.discovery.sources).toMatchObject([{ kind: 'inferencepool', ...pool.metadata }]);
  });
});

describe('docs/meshes/istio.md', () => {
  const page = readFileSync(PAGE, 'utf8');

  it('begins with one block to copy, which is deploy/istio/gateway.yaml', () => {
    const [, block] = /```yaml\n([\s\S]*?)```/.exec(page) ?? [];
    expect(block).toBe(text('gateway.yaml'));
    expect(page.indexOf('```yaml')).toBe(page.indexOf('```'));
  });

  it('says on what it was checked', () => {
    expect(page).toContain('checked on Envoy 1.40 with Istio’s names, not on Istio');
  });
});

function whole(regex: string): RegExp {
  return new RegExp(`^(?:${regex})$`);
}
