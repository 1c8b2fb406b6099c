import { globSync, readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { CHART } from '../../deploy/chart.ts';
import { VALUES, VALUES_NAMES } from '../../deploy/chart-values.ts';
import { CRD_GROUPS, type KubeApi, type Manifest } from '../../support/kube-api.ts';
import type { KubeApiServer } from '../../support/kube-apiserver.ts';
import {
  manifestsIn,
  manifestsOfFile,
  manifestsOfPage,
  rendered,
  type Source,
} from '../../support/manifests.ts';
import { requireReal } from '../../support/require-real.ts';
import { staticTool } from '../../support/static-tools.ts';

const RECIPES = 'deploy/{envoy-gateway,istio,prometheus}/**/*.{yaml,yml}';
const PAGES = '{docs,deploy}/**/*.md';

export function recipesSuite(serverOf: () => KubeApiServer): void {
  describe('every manifest that we give to users', () => {
    let api: KubeApi;

    beforeAll(async () => {
      api = serverOf().admin;
      await api.install(CRD_GROUPS);
    });

    /** What the API server has against them, schema and rules. Namespaces are made for good: what is in them needs them. */
    const problemsOf = async (objects: readonly Source[]): Promise<string[]> => {
      const namespaces = objects.flatMap(({ manifest: { kind, metadata } }) =>
        kind === 'Namespace' ? [metadata.name] : metadata.namespace,
      );
      for (const name of new Set(namespaces)) {
        if (name === undefined) continue;
        const namespace: Manifest = { apiVersion: 'v1', kind: 'Namespace', metadata: { name } };
        await api.applied(namespace, { isDryRun: false });
      }
      const answers = await Promise.all(
        objects.map(async ({ where, manifest }) => {
          const problem = await api.applied(manifest, { isDryRun: true });
          return problem === undefined
            ? []
            : [`${where} ${manifest.kind} ${manifest.metadata.name}: ${problem}`];
        }),
      );
      return answers.flat();
    };

    const files = globSync(RECIPES)
      .sort()
      .filter((file) => /^kind:/m.test(readFileSync(file, 'utf8')));
    it.each(files)('%s is taken by the API server', async (file) => {
      expect(await problemsOf(manifestsOfFile(file))).toEqual([]);
    });

    it('is found: for Envoy Gateway and for Istio', () => {
      const kinds = files.flatMap((file) => manifestsOfFile(file).map(({ manifest }) => manifest.kind));
      expect(kinds).toEqual(expect.arrayContaining(['EnvoyExtensionPolicy', 'EnvoyFilter', 'HTTPRoute']));
    });

    const pages = globSync(PAGES)
      .sort()
      .filter((file) => /^ *apiVersion:/m.test(readFileSync(file, 'utf8')));
    it.each(pages)('%s shows what the API server takes', async (page) => {
      expect(await problemsOf(manifestsOfPage(page))).toEqual([]);
    });

    it.for(VALUES_NAMES)('the chart, %s, renders what it takes', async (name, context) => {
      const helm = requireReal(context, staticTool('helm'));
      const found = rendered(helm, CHART, { name: 'warmpath', namespace: 'ai' }, VALUES[name]);
      expect(found.length).toBeGreaterThan(3);
      expect(await problemsOf(found)).toEqual([]);
    });

    it.each([
      {
        name: 'a field that there is not',
        yaml: 'apiVersion: v1\nkind: Service\nmetadata: { name: x }\nspec: { ports: [{ port: 1 }], selektor: { a: b } }',
        want: /unknown field|field not declared in schema/,
      },
      {
        name: 'a kind that there is not',
        yaml: 'apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: EnvoyExtensionPolice\nmetadata: { name: x }',
        want: /knows no EnvoyExtensionPolice in gateway\.envoyproxy\.io\/v1alpha1/,
      },
      {
        name: 'what breaks a rule between fields',
        yaml: `
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: EnvoyExtensionPolicy
metadata: { name: x }
spec:
  targetRefs: [{ group: gateway.networking.k8s.io, kind: HTTPRoute, name: x }]
  extProc:
    - backendRefs: [{ name: x, port: 9002 }]
      failOpen: true
      processingMode: { request: { body: FullDuplexStreamed } }
`,
        want: /FullDuplexStreamed/,
      },
    ])('would be refused for $name', async ({ yaml, want }) => {
      const [problem] = await problemsOf(manifestsIn(yaml, 'x.yaml'));
      expect(problem).toMatch(want);
    });
  });
}
