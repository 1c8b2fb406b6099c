import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { parseDuration } from '../../src/config/duration.ts';
import { loadConfig } from '../../src/config/load.ts';
import { INFERENCE_ENDPOINTS, READS } from '../../src/request/endpoints.ts';
import { LONGEST_ASKED_WAIT_MS } from '../../src/waiting/longest-wait.ts';
import { documents, type Manifest, pickerConfig } from '../e2e/envoy-gateway/manifests.ts';
import { complaints } from '../support/kubeconform.ts';

const FILES = ['gateway.yaml', 'nodes.yaml', 'control-plane.yaml', 'route.yaml'];
const VARIANTS = [
  'variants/nodes-by-name.yaml',
  'variants/control-plane-service.yaml',
  'variants/duplex.yaml',
];
const SETTINGS = fileURLToPath(new URL('../../deploy/envoy-gateway/config/warmpath.yaml', import.meta.url));

const all = FILES.flatMap(documents);
const variants = VARIANTS.flatMap(documents);
const of = (kind: string, among: readonly Manifest[] = all, name?: string): Manifest => {
  const found = among.find(
    (each) => each.kind === kind && (name ?? each.metadata.name) === each.metadata.name,
  );
  if (found === undefined) throw new Error(`there is no ${kind} ${name ?? ''}`);
  return found;
};

describe('the manifests for Envoy Gateway', () => {
  it.for([...FILES, ...VARIANTS])('%s fits the schemas', (file, context) => {
    expect(
      complaints(
        context,
        documents(file)
          .map((each) => stringify(each))
          .join('---\n'),
      ),
    ).toBe('');
  });

  it('let through exactly what Warmpath serves', () => {
    const rules = of('HTTPRoute').spec.rules as Manifest[];
    const matches = rules.flatMap(({ matches }) =>
      matches.map(({ method, path }: Manifest) => `${method} ${path.type} ${path.value}`),
    );
    const wanted = [
      ...INFERENCE_ENDPOINTS.map(({ path }) => `POST Exact ${path}`),
      ...READS.flatMap(({ path, isPrefix, methods }) =>
        methods.map((method) => `${method} ${isPrefix ? 'PathPrefix' : 'Exact'} ${path}`),
      ),
    ];
    expect(matches.toSorted()).toEqual(wanted.toSorted());
  });

  it('come with settings that are valid and name the same nodes', async () => {
    const { config } = await loadConfig({ file: SETTINGS, env: {} });
    expect(config.extProc.profile).toBe('epp');
    const endpoints: Manifest[] = of('Backend', all, 'ollama-nodes').spec.endpoints;
    const urls = pickerConfig().nodes.map(({ url }: Manifest) => url);
    expect(urls).toEqual(endpoints.map(({ ip }) => `http://${ip.address}:${ip.port}`));
    const [{ ip }] = of('Backend', all, 'warmpath').spec.endpoints;
    expect(config.grpc).toMatchObject({ kind: 'tcp', port: ip.port });
  });

  it('retry no further than the list of endpoints goes', async () => {
    const { config } = await loadConfig({ file: SETTINGS, env: {} });
    expect(of('BackendTrafficPolicy').spec.retry.numRetries + 1).toBe(config.extProc.minEndpoints);
  });

  it.each([
    ['as they are', all],
    ['in pieces', variants],
  ])('hold requests for longer than they may wait, and less than silence may last: bodies %s', (_, among) => {
    const [extProc] = of('EnvoyExtensionPolicy', among).spec.extProc;
    const message = parseDuration(extProc.messageTimeout) ?? 0;
    expect(message).toBeGreaterThan(LONGEST_ASKED_WAIT_MS);
    expect(parseDuration(of('ClientTrafficPolicy').spec.timeout.http.streamIdleTimeout)).toBeGreaterThan(
      message,
    );
  });

  it('replace by variants what is there', () => {
    const names = all.map(({ kind, metadata }) => `${kind} ${metadata.namespace} ${metadata.name}`);
    for (const { kind, metadata } of variants.filter((each) => each.kind !== 'Service'))
      expect(names).toContain(`${kind} ${metadata.namespace} ${metadata.name}`);
  });
});
