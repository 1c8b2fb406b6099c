import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { credentials } from '@grpc/grpc-js';
import { afterEach, expect, it } from 'vitest';
import { type SimulatedFleet, startFleet } from '../sim/fleet.ts';
import { realEnvoy } from '../support/envoy.ts';
import { freePort } from '../support/free-port.ts';
import { post, send } from '../support/http-client.ts';
import { describeReal } from '../support/require-real.ts';
import { type SpawnedProcess, spawnProcess } from '../support/spawn-process.ts';
import { type TempDir, tempDir } from '../support/temp-dir.ts';
import { waitFor } from '../support/wait-for.ts';
import { HealthClient } from '../unit/envoy/grpc/health-client.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const ENV = { WARMPATH_CONFIG: undefined, WARMPATH_NODES: undefined, WARMPATH_LOG_FORMAT: 'json' };
const NAMES = [
  '',
  'liveness',
  'readiness',
  'envoy.service.ext_proc.v3.ExternalProcessor',
  'inference-extension',
];
const { path: envoyPath = '', ...envoy } = await realEnvoy();

const open: { stop(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.stop();
});

interface Place {
  readonly dir: TempDir;
  readonly fleet: SimulatedFleet;
  readonly clients: number;
  readonly admin: number;
  readonly health: number;
  readonly flags: readonly string[];
}

async function prepare(...more: string[]): Promise<Place> {
  const dir = tempDir('wp-serve-');
  open.push({ stop: async () => dir.remove() });
  const fleet = await startFleet(1, { models: [{ name: 'alpha', sizeBytes: 1e6 }], tokensPerSecond: 60 });
  open.push({ stop: () => fleet.close() });
  await fleet.node('n1').load('alpha');
  const [clients, admin, health] = [await freePort(), await freePort(), await freePort()];
  const addresses = ['--listen', `127.0.0.1:${clients}`, '--admin', `127.0.0.1:${admin}`];
  const nodes = fleet.specs.flatMap(({ name, url }) => ['--node', `${name}=${url}`]);
  return {
    dir,
    fleet,
    clients,
    admin,
    health,
    flags: [...addresses, '--state-dir', dir.path, ...nodes, ...more],
  };
}

function serve({ flags, health }: Place, ...more: string[]): SpawnedProcess {
  const args = [MAIN, 'serve', ...flags, '--health', `127.0.0.1:${health}`, ...more];
  const serving = spawnProcess(process.execPath, args, { env: ENV });
  open.push(serving);
  return serving;
}

function healthAt(port: number): HealthClient {
  const client = new HealthClient(`127.0.0.1:${port}`);
  open.push({ stop: async () => client.close() });
  return client;
}

async function statuses(client: HealthClient): Promise<string[]> {
  return Promise.all(NAMES.map((name) => client.check(name)));
}

describeReal(
  { ...envoy, path: envoyPath === '' ? undefined : envoyPath },
  'a control plane beside an Envoy that others run',
  () => {
    it('meets it on the Unix socket in a shared folder, and drains with readiness first while its streams go on', async () => {
      const place = await prepare();
      const file = join(place.dir.path, 'envoy.yaml');
      const printed = spawnProcess(process.execPath, [MAIN, 'envoy-config', ...place.flags], { env: ENV });
      expect(await printed.exited, printed.output).toMatchObject({ code: 0 });
      writeFileSync(file, printed.output);
      const beside = spawnProcess(envoyPath, [
        '-c',
        file,
        '--concurrency',
        '1',
        '--use-dynamic-base-id',
        '-l',
        'error',
      ]);
      open.push(beside);
      const serving = serve(place);
      const health = healthAt(place.health);
      await waitFor('it to be ready', async () => (await health.check('readiness')) === 'SERVING');
      expect(await statuses(health)).toEqual(NAMES.map(() => 'SERVING'));
      expect(await health.check('nobody')).toMatch(/^5 /);

      const url = `http://127.0.0.1:${place.clients}/api/generate`;
      await waitFor('a routed answer', async () => {
        const answer = await post(url, {
          model: 'alpha',
          prompt: 'hi',
          stream: false,
          options: { num_predict: 1 },
        });
        return answer.status === 200 && answer.headers['x-warmpath-decision'] !== undefined;
      });

      const seen: string[] = [];
      const ended = new Promise<void>((resolve) =>
        health.watch(
          '',
          (status) => seen.push(status),
          () => resolve(),
        ),
      );
      await waitFor('the watch', () => seen.length === 1);
      const running = post(url, {
        model: 'alpha',
        prompt: 'hi',
        stream: false,
        options: { num_predict: 240 },
      });
      await waitFor('the request to run', async () => {
        const { text } = await send(`http://127.0.0.1:${place.admin}/metrics`);
        return /^warmpath_ext_proc_streams 1$/m.test(text);
      });
      const { text } = await send(`http://127.0.0.1:${place.admin}/status`);
      expect(JSON.parse(text).extProc).toMatchObject({
        profile: 'own',
        modes: [{ mode: 'none', streams: expect.any(Number) }],
        problems: [],
      });
      serving.kill('SIGTERM');
      await waitFor('readiness to end', () => seen.at(-1) === 'NOT_SERVING');
      expect(await statuses(health)).toEqual(
        NAMES.map((name) => (name === 'liveness' ? 'SERVING' : 'NOT_SERVING')),
      );
      expect(serving.isRunning).toBe(true);
      const answer = await running;
      expect([answer.status, answer.headers['x-warmpath-node']]).toEqual([200, 'n1']);
      await ended;
      expect(await serving.exited, serving.output).toMatchObject({ code: 0 });
      expect(serving.output).not.toContain('still open at the end');
    });
  },
);

it('an endpoint picker listens for gateways with a certificate of its own making, its health in plaintext beside it', async () => {
  const place = await prepare();
  const grpc = await freePort();
  const flags = ['--profile', 'epp', '--grpc', `127.0.0.1:${grpc}`, '--grpc-tls', 'self-signed'];
  const serving = serve(place, ...flags);
  const health = healthAt(place.health);
  await waitFor('it to be ready', async () => (await health.check('inference-extension')) === 'SERVING');
  const { text } = await send(`http://127.0.0.1:${place.admin}/status`);
  expect(JSON.parse(text).extProc).toEqual({
    profile: 'epp',
    grpc: `127.0.0.1:${grpc}`,
    tls: 'self-signed',
    health: `127.0.0.1:${place.health}`,
    modes: [],
    problems: [],
  });
  // As Envoy does that does not check certificates: gateways mostly do not.
  const trusting = credentials.createSsl(null, null, null, { rejectUnauthorized: false });
  const encrypted = new HealthClient(`127.0.0.1:${grpc}`, trusting);
  open.push({ stop: async () => encrypted.close() });
  expect(await statuses(encrypted)).toEqual(NAMES.map(() => 'SERVING'));
  expect(await healthAt(grpc).check('')).toMatch(/^14 /);
  await serving.waitForOutput(/speaks plaintext to the gRPC address, which wants TLS/);
  expect(await serving.stop(), serving.output).toMatchObject({ code: 0 });
});
