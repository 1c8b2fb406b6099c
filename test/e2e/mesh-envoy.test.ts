import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { INFERENCE_ENDPOINTS, READS } from '../../src/request/endpoints.ts';
import { realEnvoy } from '../support/envoy.ts';
import { describeReal } from '../support/require-real.ts';
import { type TempDir, tempDir } from '../support/temp-dir.ts';
import { type Bootstrap, deployPath, deployYaml, type Loose, onLoopback } from './meshes/bootstrap.ts';
import { MeshEnvoy } from './meshes/mesh-envoy.ts';
import { MeshRig, type Places, WARM_NODE } from './meshes/rig.ts';
import { routedCases, waitingCase } from './meshes/routed-cases.ts';
import { assembled, connectionManager } from './meshes/snippets.ts';

/** What the examples' addresses stand for. */
function placed({ grpc, nodes }: Places): Map<string, number> {
  const examples = nodes.map((port, i): [string, number] => [`192.168.1.${10 + i}:11434`, port]);
  return new Map([['warmpath.internal:9002', grpc], ...examples]);
}

/** With a third node, written as the two of the example are. */
function withThirdNode(bootstrap: Bootstrap): Bootstrap {
  const nodes = bootstrap.static_resources.clusters.find(({ name }: Loose) => name === 'ollama');
  const { lb_endpoints } = nodes.load_assignment.endpoints[0];
  const third = structuredClone(lb_endpoints[0]);
  third.endpoint.address.socket_address.address = '192.168.1.12';
  lb_endpoints.push(third);
  return bootstrap;
}

describe('the routes of deploy/envoy', () => {
  const { routes } = deployYaml('envoy/snippets/virtual-host.yaml');
  const matches = (path: string): number =>
    routes.findIndex(({ match }: Loose) =>
      match.safe_regex === undefined ? true : new RegExp(`^(?:${match.safe_regex.regex})$`).test(path),
    );

  it('let through exactly what Warmpath serves', () => {
    for (const { path } of INFERENCE_ENDPOINTS) expect(matches(path), path).toBe(0);
    for (const { path, isPrefix } of READS) expect(matches(isPrefix ? `${path}m` : path), path).toBe(1);
    for (const path of [
      '/api/pull',
      '/api/push',
      '/api/create',
      '/api/copy',
      '/api/delete',
      '/api/blobs/sha256:0',
    ])
      expect(matches(path), path).toBe(2);
    const alternatives = routes[0].match.safe_regex.regex
      .split(/\(|\)|\|/)
      .filter((word: string) => !word.startsWith('/'));
    expect(alternatives.filter(Boolean)).toHaveLength(INFERENCE_ENDPOINTS.length);
  });
});

describe('docs/meshes/envoy.md', () => {
  it('shows the filter as it is in deploy/envoy', () => {
    const page = readFileSync(new URL('../../docs/meshes/envoy.md', import.meta.url), 'utf8');
    const filter = readFileSync(deployPath('envoy/snippets/http-filter.yaml'), 'utf8');
    expect(page).toContain(`\n\`\`\`yaml\n${filter}\`\`\`\n`);
  });
});

describe('deploy/envoy/sidecar', () => {
  it('is the snippets, put together', () => {
    const { admin, ...sidecar } = deployYaml('envoy/sidecar/envoy.yaml');
    expect(sidecar).toEqual(assembled({ nodes: 'eds' }));
    expect(admin.address.socket_address.address).toBe('127.0.0.1');
  });
});

describeReal(await realEnvoy(), 'snippets for an Envoy that is there already', (envoy) => {
  it.each([
    { name: 'told its nodes by Warmpath', choice: { nodes: 'eds' as const } },
    { name: 'with nodes written down', choice: { nodes: 'static' as const } },
    { name: 'with TLS and the access log', choice: { nodes: 'eds' as const, tls: true, accessLog: true } },
  ])('are valid $name', async ({ choice }) => {
    expect(await MeshEnvoy.complaint(envoy, assembled(choice))).toBeUndefined();
  });

  it('are looked at by Envoy to the last field', async () => {
    const bootstrap = assembled({ nodes: 'eds' });
    const text = JSON.stringify(bootstrap).replace('failure_mode_allow', 'failure_mode_allowed');
    expect(await MeshEnvoy.complaint(envoy, JSON.parse(text))).toContain('failure_mode_allowed');
  });

  describe('the sidecar, told its nodes by Warmpath', () => {
    let rig: MeshRig;
    beforeAll(async () => {
      const { admin: _, ...sidecar } = deployYaml('envoy/sidecar/envoy.yaml');
      rig = await MeshRig.start(envoy, {
        bootstrap: (places) => onLoopback(sidecar, places.clients, placed(places)),
      });
    });
    afterAll(() => rig?.stop());
    routedCases(() => rig, { refusal: 403 });
  });

  describe('with nodes written down, TLS and the access log', () => {
    let rig: MeshRig;
    beforeAll(async () => {
      rig = await MeshRig.start(envoy, {
        config: {
          extProc: { profile: 'epp', minEndpoints: 3, outcomes: 'access-log', tls: 'self-signed' },
        },
        bootstrap: (places) => {
          const bootstrap = withThirdNode(assembled({ nodes: 'static', tls: true, accessLog: true }));
          // So that it matters whether the line asks for more time.
          connectionManager(bootstrap).http_filters[0].typed_config.message_timeout = '0.5s';
          return onLoopback(bootstrap, places.clients, placed(places));
        },
      });
    });
    afterAll(() => rig?.stop());

    routedCases(() => rig, { refusal: 403 });

    waitingCase(() => rig);
  });

  describe('with the profile own, as `warmpath envoy-config` prints it beside a listener that was there', () => {
    let rig: MeshRig;
    let state: TempDir;
    beforeAll(async () => {
      state = tempDir();
      rig = await MeshRig.start(envoy, {
        config: { stateDir: state.path, extProc: { profile: 'own' } },
        bootstrap: (places) => {
          const { admin: _, ...printed } = printedConfig(state.path, places);
          const { listeners } = assembled({ nodes: 'static' }).static_resources;
          listeners[0].address.socket_address.port_value = 0;
          listeners[0].filter_chains[0].filters[0].typed_config.route_config.virtual_hosts = [];
          printed.static_resources.listeners.push(...listeners);
          return printed;
        },
      });
    });
    afterAll(async () => {
      await rig?.stop();
      state?.remove();
    });

    it('routes, by what Lua makes of bodies, and counts tokens', async () => {
      expect(await rig.chat()).toMatchObject({ status: 200, node: WARM_NODE, isRouted: true });
      const tokens = (): Promise<number> => rig.warmpath.metric('warmpath_tokens_total', { node: WARM_NODE });
      await expect.poll(tokens).toBeGreaterThan(0);
    });
  });
});

function printedConfig(stateDir: string, { clients, grpc }: Places): Bootstrap {
  const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
  const flags = ['--listen', `127.0.0.1:${clients}`, '--grpc', `127.0.0.1:${grpc}`, '--state-dir', stateDir];
  const node = ['--node', 'http://127.0.0.1:1'];
  const text = execFileSync(process.execPath, [main, 'envoy-config', ...flags, ...node], {
    encoding: 'utf8',
  });
  return parse(text);
}
