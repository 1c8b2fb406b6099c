import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { realEnvoy } from '../support/envoy.ts';
import { describeReal } from '../support/require-real.ts';
import { type Bootstrap, deployManifests, type Loose } from './meshes/bootstrap.ts';
import { applyEnvoyFilter, type Context } from './meshes/envoy-filter.ts';
import { istioBootstrap } from './meshes/istio.ts';
import { inferencePoolBootstrap } from './meshes/istio-inference-pool.ts';
import { MeshEnvoy } from './meshes/mesh-envoy.ts';
import { MeshRig, type Places } from './meshes/rig.ts';
import { routedCases, waitingCase } from './meshes/routed-cases.ts';

const SOMEWHERE: Places = { clients: 1, grpc: 2, nodes: [3, 4, 5] };

/** What the addresses in the manifests stand for. */
function placed({ grpc, nodes }: Places): Map<string, number> {
  const examples = nodes.map((port, i): [string, number] => [`192.168.1.${10 + i}:11434`, port]);
  return new Map([['warmpath:9002', grpc], ...examples]);
}

/** The manifests of a recipe, with a third machine written as the two of the example are. */
function recipe(name: string): Loose[] {
  const all = deployManifests(`istio/${name}`);
  for (const { spec } of all.filter(({ kind }) => kind === 'ServiceEntry'))
    spec.endpoints.push({ ...spec.endpoints[0], address: '192.168.1.12' });
  const entry = all.find(({ kind }) => kind === 'WorkloadEntry');
  if (entry === undefined) return all;
  return [...all, { ...entry, spec: { ...entry.spec, address: '192.168.1.12' } }];
}

function patched(resources: readonly Loose[], places: Places, context: Context): Bootstrap {
  const bare = istioBootstrap(resources, { port: places.clients, where: placed(places) });
  const filters = resources.filter(({ kind }) => kind === 'EnvoyFilter');
  return filters.reduce((bootstrap, filter) => applyEnvoyFilter(bootstrap, filter, context), bare);
}

/** The control plane is started with what the Deployment says, its addresses replaced. */
function environment(resources: readonly Loose[], places: Places): Record<string, string> {
  const deployment = resources.find(({ kind }) => kind === 'Deployment');
  const [container] = deployment.spec.template.spec.containers;
  const env = Object.fromEntries(container.env.map(({ name, value }: Loose) => [name, value]));
  expect(env.WARMPATH_NODES).toBe('gpu1=http://192.168.1.10:11434 gpu2=http://192.168.1.11:11434');
  const { WARMPATH_NODES: _nodes, WARMPATH_STATE_DIR: _dir, ...rest } = env;
  return { ...rest, WARMPATH_GRPC: env.WARMPATH_GRPC.replace('9002', String(places.grpc)) };
}

const VARIANTS = [
  { file: 'gateway.yaml', context: 'GATEWAY', host: 'ollama.example.com' },
  { file: 'sidecar.yaml', context: 'SIDECAR_OUTBOUND', host: 'ollama.warmpath.svc.cluster.local:11434' },
] as const;

describeReal(await realEnvoy(), 'Istio recipes on an Envoy with its names', (envoy) => {
  describe.each(VARIANTS)('$file', ({ file, context, host }) => {
    const all = recipe(file);

    it('makes a configuration that Envoy takes', async () => {
      expect(await MeshEnvoy.complaint(envoy, patched(all, SOMEWHERE, context))).toBeUndefined();
    });

    it('has patches that Envoy looks at to the last field', async () => {
      const bootstrap = JSON.stringify(patched(all, SOMEWHERE, context));
      for (const field of ['failure_mode_allow', 'override_host_sources', 'grpc_health_check']) {
        const misspelt = JSON.parse(bootstrap.replaceAll(`"${field}"`, `"${field}s"`));
        expect(await MeshEnvoy.complaint(envoy, misspelt), field).toContain(`${field}s`);
      }
    });

    describe('with real requests', () => {
      let rig: MeshRig;
      beforeAll(async () => {
        rig = await MeshRig.start(envoy, {
          headers: { host },
          env: (places) => environment(all, places),
          bootstrap: (places) => patched(all, places, context),
        });
      });
      afterAll(() => rig?.stop());
      routedCases(() => rig, { refusal: 404 });
    });
  });

  describe('inference-pool.yaml', () => {
    const all = deployManifests('istio/inference-pool.yaml');

    it('makes a configuration that Envoy takes', async () => {
      const bootstrap = inferencePoolBootstrap(all, SOMEWHERE);
      expect(await MeshEnvoy.complaint(envoy, bootstrap)).toBeUndefined();
    });

    describe('with real requests', () => {
      let rig: MeshRig;
      beforeAll(async () => {
        rig = await MeshRig.start(envoy, {
          headers: { host: 'ollama.example.com' },
          config: { extProc: { profile: 'epp', minEndpoints: 3, tls: 'self-signed' } },
          bootstrap: (places) => inferencePoolBootstrap(all, places),
        });
      });
      afterAll(() => rig?.stop());
      routedCases(() => rig, { refusal: 404, isDuplex: true });
      waitingCase(() => rig);
    });
  });
});
