import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { credentials } from '@grpc/grpc-js';
import { afterEach, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { type SimulatedFleet, startFleet } from '../sim/fleet.ts';
import { realEnvoy } from '../support/envoy.ts';
import { freePort } from '../support/free-port.ts';
import { type Answer, post, send } from '../support/http-client.ts';
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
  /** Where all of that is. */
  readonly places: readonly string[];
  /** With the nodes. */
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
  const places = [...addresses, '--state-dir', dir.path];
  const nodes = fleet.specs.flatMap(({ name, url }) => ['--node', `${name}=${url}`]);
  return {
    dir,
    fleet,
    clients,
    admin,
    health,
    places,
    flags: [...places, ...nodes, ...more],
  };
}

function serve({ flags, health }: Place, ...more: string[]): SpawnedProcess {
  const args = [MAIN, 'serve', ...flags, '--health', `127.0.0.1:${health}`, ...more];
  const serving = spawnProcess(process.execPath, args, { env: ENV });
  open.push(serving);
  return serving;
}

/** An Envoy that is not ours to run, with our configuration. */
async function envoyBeside(place: Place): Promise<void> {
  const file = join(place.dir.path, 'envoy.yaml');
  const printed = spawnProcess(process.execPath, [MAIN, 'envoy-config', ...place.flags], { env: ENV });
  expect(await printed.exited, printed.output).toMatchObject({ code: 0 });
  writeFileSync(file, printed.output);
  const args = ['-c', file, '--concurrency', '1', '--use-dynamic-base-id', '-l', 'error'];
  open.push(spawnProcess(envoyPath, args));
}

function generate({ clients }: Place, tokens: number): Promise<Answer> {
  const body = { model: 'alpha', prompt: 'hi', stream: false, options: { num_predict: tokens } };
  return post(`http://127.0.0.1:${clients}/api/generate`, body);
}

async function untilRouting(place: Place): Promise<void> {
  await waitFor('a routed answer', async () => {
    const { status, headers } = await generate(place, 1);
    return status === 200 && headers['x-warmpath-decision'] !== undefined;
  });
}

async function untilMetric({ admin }: Place, line: string): Promise<void> {
  await waitFor(line, async () => {
    const { text } = await send(`http://127.0.0.1:${admin}/metrics`);
    return text.split('\n').includes(line);
  });
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
      await envoyBeside(place);
      const serving = serve(place);
      const health = healthAt(place.health);
      await waitFor('it to be ready', async () => (await health.check('readiness')) === 'SERVING');
      expect(await statuses(health)).toEqual(NAMES.map(() => 'SERVING'));
      expect(await health.check('nobody')).toMatch(/^5 /);

      await untilRouting(place);

      const seen: string[] = [];
      const ended = new Promise<void>((resolve) =>
        health.watch(
          '',
          (status) => seen.push(status),
          () => resolve(),
        ),
      );
      await waitFor('the watch', () => seen.length === 1);
      const running = generate(place, 240);
      await untilMetric(place, 'warmpath_ext_proc_streams 1');
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

    it('sends who still waits at the end of its drain on to a node, and cuts no answer', async () => {
      const prepared = await prepare();
      const { dir, fleet, places } = prepared;
      const file = join(dir.path, 'warmpath.yaml');
      const nodes = fleet.specs.map((spec) => ({ ...spec, slots: 1 }));
      writeFileSync(file, stringify({ nodes, waiting: { maxWait: '5m' }, envoy: { drainTime: '4s' } }));
      const place = { ...prepared, flags: [...places, '--config', file] };
      await envoyBeside(place);
      const serving = serve(place);
      await untilRouting(place);
      const running = generate(place, 900);
      await untilMetric(place, 'warmpath_ext_proc_streams 1');
      const waiting = generate(place, 1);
      await untilMetric(place, 'warmpath_waiting_requests{class="normal"} 1');
      serving.kill('SIGTERM');
      await untilMetric(place, 'warmpath_waiting_requests{class="normal"} 0');
      expect(serving.isRunning).toBe(true);
      expect(await serving.exited, serving.output).toMatchObject({ code: 0 });
      expect(await running).toMatchObject({ status: 200, isComplete: true });
      // The node let it wait. It was routed: an unrouted one has no decision.
      const sentOn = await waiting;
      expect(sentOn).toMatchObject({ status: 200, isComplete: true });
      expect(sentOn.headers['x-warmpath-decision']).toBeDefined();
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
