import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { type SimulatedFleet, startFleet } from '../sim/fleet.ts';
import { realEnvoy } from '../support/envoy.ts';
import { freePort } from '../support/free-port.ts';
import {
  type Answer,
  connectRaw,
  post,
  type RawConnection,
  rawRequest,
  send,
} from '../support/http-client.ts';
import { describeReal } from '../support/require-real.ts';
import { type SpawnedProcess, spawnProcess } from '../support/spawn-process.ts';
import { type TempDir, tempDir } from '../support/temp-dir.ts';
import { waitFor } from '../support/wait-for.ts';
import { FILTERS, GatewayEnvoy } from './ext-proc/gateway-envoy.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const MODEL = 'alpha';
const GENERATE = '/api/generate';
const CHAT = '/v1/chat/completions';
const SUBSET = 'envoy.lb.subset_hint';
const MAX_BODY_BYTES = 1024 * 1024;

/** As a gateway allows a request no endpoint of ours. */
const NOWHERE = {
  name: 'subset',
  typed_config: {
    '@type': 'type.googleapis.com/envoy.extensions.filters.http.set_metadata.v3.Config',
    metadata: [
      { metadata_namespace: SUBSET, value: { 'x-gateway-destination-endpoint-subset': ['127.0.0.9:1'] } },
    ],
  },
};

describeReal(await realEnvoy(), 'clients of a gateway that asks `warmpath serve --profile epp`', (binary) => {
  let dir: TempDir;
  let fleet: SimulatedFleet;
  let serving: SpawnedProcess;
  let envoy: GatewayEnvoy;
  let admin: string;
  let configure: (extProc: Record<string, unknown>) => void;
  const occupants: RawConnection[] = [];

  beforeAll(async () => {
    dir = tempDir('wp-gateway-clients-');
    fleet = await startFleet(1, {
      models: [{ name: MODEL, sizeBytes: 1_000_000 }],
      slots: 1,
      tokensPerSecond: 100,
    });
    await fleet.node('n1').load(MODEL);
    const [grpc, adminPort] = [await freePort(), await freePort()];
    admin = `http://127.0.0.1:${adminPort}`;
    const file = join(dir.path, 'warmpath.yaml');
    configure = (extProc) => {
      const config = {
        grpc: `127.0.0.1:${grpc}`,
        admin: `127.0.0.1:${adminPort}`,
        stateDir: dir.path,
        nodes: fleet.specs.map((spec) => ({ ...spec, slots: 1 })),
        limits: { body: '1MiB' },
        extProc: {
          profile: 'epp',
          testSelection: true,
          objectives: { chat: 'interactive', 'over-night': 'batch' },
          ...extProc,
        },
      };
      writeFileSync(file, stringify(config));
    };
    configure({});
    const env = { WARMPATH_CONFIG: undefined, WARMPATH_NODES: undefined };
    serving = spawnProcess(process.execPath, [MAIN, 'serve', '--config', file], { env });
    const common = { service: grpc, retries: 1 };
    const buffered = { ...FILTERS.envoyGateway, max_message_timeout: '60s' };
    const forwarding_namespaces = { untyped: ['envoy.lb', SUBSET] };
    const both = [
      { name: 'duplex', extProc: FILTERS.istio, destination: 'metadata' },
      { name: 'buffered', extProc: buffered, destination: 'header' },
    ] as const;
    const gateways = both.flatMap((gateway) => [
      { ...common, ...gateway },
      {
        ...common,
        ...gateway,
        name: `${gateway.name}-nowhere`,
        before: [NOWHERE],
        extProc: {
          ...gateway.extProc,
          metadata_options: { ...gateway.extProc.metadata_options, forwarding_namespaces },
        },
      },
    ]);
    const ports = fleet.specs.map(({ url }) => Number(new URL(url).port));
    envoy = await GatewayEnvoy.start(binary, dir.path, gateways, ports);
    await waitFor('the picker', async () => (await send(`${admin}/readyz`)).status === 200, {
      timeoutMs: 20_000,
      gaveUp: () => (serving.isRunning ? undefined : serving.output),
    });
  }, 60_000);

  afterEach(async () => {
    for (const occupant of occupants.splice(0)) occupant.reset();
    await inLine();
    fleet.clearRequests();
  });

  afterAll(async () => {
    await envoy?.stop();
    await serving?.stop();
    await fleet?.close();
    dir?.remove();
  });

  /** Takes the only slot; frees it when called. */
  async function occupy(gateway: string): Promise<() => void> {
    const occupant = await connectRaw(envoy.url(gateway));
    occupants.push(occupant);
    const body = JSON.stringify({ model: MODEL, prompt: 'long', options: { num_predict: 100_000 } });
    occupant.write(rawRequest('POST', GENERATE, { headers: { 'Content-Type': 'application/json' }, body }));
    await occupant.waitFor(/"response"/);
    fleet.clearRequests();
    return () => occupant.reset();
  }

  const ask = (
    gateway: string,
    prompt: string,
    headers: Record<string, string> = {},
    path = GENERATE,
  ): Promise<Answer> => {
    const words = { prompt, messages: [{ role: 'user', content: prompt }] };
    const body = { model: MODEL, ...words, stream: false, max_tokens: 1, options: { num_predict: 1 } };
    return post(envoy.url(gateway) + path, body, { headers });
  };

  /** Waits until the line is as said, by metrics; empty unless said otherwise. */
  async function inLine(...series: string[]): Promise<void> {
    await waitFor(`in the line: ${series.join(' ') || 'nobody'}`, async () => {
      const { text } = await send(`${admin}/metrics`);
      const counts = text.split('\n').filter((line) => /^warmpath_waiting_requests\{/.test(line));
      return series.length === 0
        ? counts.every((line) => line.endsWith(' 0'))
        : series.every((one) => text.includes(`\n${one}\n`));
    });
  }
  const ofClass = (name: string) => `warmpath_waiting_requests{class="${name}"} 1`;
  const ofCaller = (name: string) => `warmpath_waiting_requests_by_caller{caller="fairness:${name}"} 1`;

  const SPELLINGS = { duplex: 'x-gateway-inference', buffered: 'x-llm-d-inference' } as const;

  describe.each(['duplex', 'buffered'] as const)('%s', (gateway) => {
    it(`are served in the order of their objectives, each on its own account (${SPELLINGS[gateway]}-…)`, async () => {
      const free = await occupy(gateway);
      const words = (objective: string, id: string) => ({
        [`${SPELLINGS[gateway]}-objective`]: objective,
        [`${SPELLINGS[gateway]}-fairness-id`]: id,
      });
      const ended: string[] = [];
      const asked = async (prompt: string, headers: Record<string, string>): Promise<void> => {
        expect((await ask(gateway, prompt, headers)).status).toBe(200);
        ended.push(prompt);
      };
      const night = asked('night', words('over-night', 'reports'));
      await inLine(ofClass('batch'), ofCaller('reports'));
      const other = asked('other', words('unheard-of', 'tools'));
      await inLine(ofClass('normal'), ofCaller('tools'));
      const talk = asked('talk', words('chat', 'people'));
      await inLine(ofClass('interactive'), ofCaller('people'));
      free();
      await Promise.all([night, other, talk]);
      expect(ended).toEqual(['talk', 'other', 'night']);
    });

    it('are told when no slot is free in time, in their own API’s way', async () => {
      await occupy(gateway);
      const soon = { 'x-slo-ttft-ms': '200' };
      const [openai, ollama] = await Promise.all([
        ask(gateway, 'soon', soon, CHAT),
        ask(gateway, 'soon', { 'x-llm-d-slo-ttft-ms': '200' }),
      ]);
      expect([openai.status, ollama.status]).toEqual([429, 503]);
      for (const { headers } of [openai, ollama]) {
        expect(headers['x-warmpath-error']).toBe('no_slot_in_time');
        expect(Number(headers['retry-after'])).toBeGreaterThan(0);
      }
      expect(fleet.inference).toEqual([]);
    });

    it('are told at once what is wrong with a request, or that no endpoint is allowed for it', async () => {
      const broken = await send(envoy.url(gateway) + GENERATE, { method: 'POST', body: '{"model": ' });
      const denied = await ask(gateway, 'denied', {}, '/api/delete');
      const nowhere = await ask(`${gateway}-nowhere`, 'nowhere');
      expect([broken, denied, nowhere].map(({ status }) => status)).toEqual([400, 403, 503]);
      expect(fleet.inference).toEqual([]);
    });

    it('go where a conformance test says, whatever they ask for', async () => {
      const [{ url } = { url: '' }] = fleet.specs;
      const headers = { 'test-epp-endpoint-selection': new URL(url).host };
      expect((await send(`${envoy.url(gateway)}/api/ps`, { headers })).status).toBe(200);
      expect(
        fleet
          .node('n1')
          .requests.some(({ headers: got }) => got['test-epp-endpoint-selection'] !== undefined),
      ).toBe(true);
      const elsewhere = { 'test-epp-endpoint-selection': '127.0.0.9' };
      expect((await send(envoy.url(gateway), { headers: elsewhere })).status).toBe(503);
    });
  });

  it.each([
    { what: 'a path that is not served', path: '/api/delete', bytes: 10, want: 403 },
    { what: 'a body that grows too long', path: GENERATE, bytes: MAX_BODY_BYTES + 1, want: 413 },
  ])('need not send a body to its end to be told of $what (duplex)', async ({ path, bytes, want }) => {
    const client = await connectRaw(envoy.url('duplex'));
    occupants.push(client);
    const headers = { 'Content-Type': 'application/json', 'Transfer-Encoding': 'chunked' };
    client.write(rawRequest('POST', path, { headers }));
    client.write(`${bytes.toString(16)}\r\n${'x'.repeat(bytes)}\r\n`);
    await client.waitFor(new RegExp(`^HTTP/1\\.1 ${want} `));
  });

  it('are tried as often as the configuration says, as soon as it does', async () => {
    configure({ minEndpoints: 2 });
    await waitFor('a longer list', async () => {
      fleet.clearRequests();
      await ask('buffered', 'again');
      return /^([^,]+),\1$/.test(String(fleet.inference[0]?.headers['x-gateway-destination-endpoint']));
    });
  });

  // Last: of all of the above.
  it('F26 make Envoy hear nothing that it did not ask for', async () => {
    const stats = await envoy.admin('/stats?filter=spurious_msgs_received');
    expect([...stats.matchAll(/: (\d+)$/gm)].map(([, count]) => count)).toEqual(['0', '0', '0', '0']);
  });
});
