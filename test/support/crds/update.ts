/**
 * Fetches the custom resource definitions that the tests give to an API server: `node test/support/crds/update.ts`.
 * Needs Go, whose module proxy is where the originals come from.
 */
import { execFileSync } from 'node:child_process';
import { globSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { parseAllDocuments } from 'yaml';

interface Source {
  readonly module: string;
  readonly version: string;
  readonly files: string;
  /** Of all that the files hold; the others are left out. */
  readonly kinds: readonly string[];
}

const SOURCES: Readonly<Record<string, Source>> = {
  'gateway-api': {
    module: 'sigs.k8s.io/gateway-api',
    version: 'v1.6.3',
    files: 'config/crd/standard/*.yaml',
    kinds: ['GatewayClass', 'Gateway', 'HTTPRoute', 'ReferenceGrant', 'BackendTLSPolicy'],
  },
  'inference-extension': {
    module: 'sigs.k8s.io/gateway-api-inference-extension',
    version: 'v1.5.0',
    files: 'config/crd/bases/*.yaml',
    kinds: ['InferencePool', 'InferenceObjective'],
  },
  'envoy-gateway': {
    module: 'github.com/envoyproxy/gateway',
    version: 'v1.9.1',
    files: 'charts/gateway-helm/charts/crds/crds/generated/*.yaml',
    kinds: [
      ...[
        'Backend',
        'BackendTrafficPolicy',
        'ClientTrafficPolicy',
        'EnvoyExtensionPolicy',
        'EnvoyPatchPolicy',
      ],
      ...['EnvoyProxy', 'HTTPRouteFilter', 'SecurityPolicy'],
    ],
  },
  istio: {
    module: 'istio.io/api',
    version: 'v1.31.1',
    files: 'kubernetes/customresourcedefinitions.gen.yaml',
    kinds: [
      ...[
        'AuthorizationPolicy',
        'DestinationRule',
        'EnvoyFilter',
        'Gateway',
        'PeerAuthentication',
        'ServiceEntry',
      ],
      ...['Sidecar', 'Telemetry', 'VirtualService', 'WorkloadEntry', 'WorkloadGroup'],
    ],
  },
  'prometheus-operator': {
    module: 'github.com/prometheus-operator/prometheus-operator',
    version: 'v0.85.0',
    files: 'example/prometheus-operator-crd/*.yaml',
    kinds: ['PodMonitor', 'PrometheusRule', 'ServiceMonitor'],
  },
};

interface Definition {
  readonly kind: string;
  readonly spec: { readonly names: { readonly kind: string } };
}

function fetched({ module, version, files, kinds }: Source): Definition[] {
  const answer = execFileSync('go', ['mod', 'download', '-json', `${module}@${version}`], {
    encoding: 'utf8',
    cwd: tmpdir(),
    env: { ...process.env, GOFLAGS: '-mod=mod' },
  });
  const { Dir: dir } = JSON.parse(answer) as { Dir: string };
  const paths = globSync(join(dir, files)).sort();
  const documents = paths.flatMap((path) => parseAllDocuments(readFileSync(path, 'utf8')));
  const definitions = documents
    .map((document) => document.toJS() as Definition | null)
    .filter((found) => found !== null && found.kind === 'CustomResourceDefinition') as Definition[];
  const wanted = definitions.filter(({ spec }) => kinds.includes(spec.names.kind));
  const missing = kinds.filter((kind) => !wanted.some(({ spec }) => spec.names.kind === kind));
  if (missing.length > 0) throw new Error(`${module}@${version} has no ${missing.join(', ')}`);
  return wanted;
}

/** Descriptions are most of a definition and decide nothing. A field may itself be called `description`. */
function withoutWords(value: unknown, isFieldNames = false): unknown {
  if (Array.isArray(value)) return value.map((item) => withoutWords(item));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key, inner]) => isFieldNames || key !== 'description' || typeof inner !== 'string')
      .map(([key, inner]) => [key, withoutWords(inner, key === 'properties' && !isFieldNames)]),
  );
}

for (const [name, source] of Object.entries(SOURCES)) {
  const text = JSON.stringify(fetched(source).map((definition) => withoutWords(definition)));
  const packed = gzipSync(text, { level: 9 });
  writeFileSync(join(import.meta.dirname, `${name}.json.gz`), packed);
  console.log(`${name} ${source.version}: ${text.length} bytes, ${packed.length} packed`);
}
