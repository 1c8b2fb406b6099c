import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type SimulatedFleet, startFleet } from '../sim/fleet.ts';
import { realEnvoy } from '../support/envoy.ts';
import { post, send } from '../support/http-client.ts';
import { describeReal } from '../support/require-real.ts';
import { type RunningWarmpath, startWarmpath } from '../support/warmpath.ts';
import { curl } from './client/curl.ts';

const PROMPT = 'canary-prompt-7f3a';
const KEY = 'canary-key-91bc';
const NODE_TOKEN = 'canary-node-token-c0de';
const ANSWER = 'canary-answer-55aa';

describeReal(await realEnvoy(), 'secrets', () => {
  let fleet: SimulatedFleet;
  let warmpath: RunningWarmpath;

  beforeAll(async () => {
    fleet = await startFleet(2, { models: [{ name: 'alpha', sizeBytes: 1e6 }], timeScale: 100 });
    const nodes = fleet.specs.map((spec) => ({ ...spec, token: NODE_TOKEN }));
    warmpath = await startWarmpath({
      nodes: [],
      config: { nodes, log: { level: 'trace', format: 'json' } },
    });
    await warmpath.waitForNodes(['n1', 'n2']);
    await warmpath.waitUntilRouting();
  });
  afterAll(async () => {
    await warmpath?.stop();
    await fleet?.close();
  });

  /** Everything that can carry a canary: good, refused, failing and hung-up requests on all three APIs. */
  async function sendCanaries(): Promise<void> {
    const headers = { authorization: `Bearer ${KEY}`, cookie: `session=${KEY}`, 'x-api-key': KEY };
    const messages = [
      { role: 'system', content: `${PROMPT} ${'long '.repeat(2000)}` },
      { role: 'user', content: PROMPT },
    ];
    const bodies = [
      { model: 'alpha', messages, prompt: PROMPT, input: PROMPT, max_tokens: 2, options: { num_predict: 2 } },
      { model: 'alpha', messages, prompt: PROMPT, input: PROMPT, max_tokens: 2, stream: false },
      { model: 'nope', messages, prompt: PROMPT },
      { model: { PROMPT }, messages, prompt: PROMPT },
      { Model: 'alpha', messages, prompt: PROMPT, [PROMPT]: PROMPT },
    ];
    for (const path of ['/api/chat', '/api/generate', '/api/embed', '/v1/chat/completions', '/v1/messages']) {
      for (const body of bodies) await post(`${warmpath.url}${path}`, body, { headers });
      await post(`${warmpath.url}${path}`, `{"model":"alpha","prompt":"${PROMPT}`, { headers });
    }
    await post(`${warmpath.url}/api/pull`, { model: PROMPT }, { headers });
    await fleet.node('n1').setFault({ kind: 'reply', status: 500, message: ANSWER });
    await post(`${warmpath.url}/api/chat`, bodies[1], { headers });
    await fleet.node('n2').setFault({ kind: 'reply', status: 500, message: ANSWER });
    await post(`${warmpath.url}/api/chat`, bodies[1], { headers });
    for (const node of fleet.nodes) await node.setFault({ kind: 'die', afterBytes: 200, how: 'rst' });
    await post(`${warmpath.url}/api/chat`, bodies[0], { headers });
    for (const node of fleet.nodes) await node.setFault(undefined);
  }

  it('S16 G20: prompts, keys and tokens are in no log, metric, report or file', async () => {
    await sendCanaries();
    await expect.poll(() => warmpath.output, { timeout: 5000 }).toContain('"msg":"ended"');
    const seen: Record<string, string> = { log: warmpath.output };
    for (const path of [
      '/metrics',
      '/status',
      '/decisions?limit=1000',
      '/explain?model=alpha',
      '/',
      '/readyz',
    ])
      seen[path] = (await send(`${warmpath.adminUrl}${path}`)).text;
    for (const path of filesUnder(warmpath.stateDir)) seen[path] = readFileSync(path, 'latin1');
    for (const pid of Object.values(warmpath.pids))
      seen[`arguments of ${pid}`] = readFileSync(`/proc/${pid}/cmdline`, 'latin1');

    const documented = new Set(
      ['warmpath.yaml', 'nodes/last-known.json'].map((name) => join(warmpath.stateDir, name)),
    );
    for (const [place, text] of Object.entries(seen)) {
      for (const secret of [PROMPT, KEY, ANSWER])
        expect(text.includes(secret), `${secret} in ${place}`).toBe(false);
      if (!documented.has(place))
        expect(text.includes(NODE_TOKEN), `the node's token in ${place}`).toBe(false);
    }
    expect(seen.log).toContain('"level":"debug"');
    expect(seen['/decisions?limit=1000']).toContain('alpha:latest');
    expect(seen[join(warmpath.stateDir, 'nodes/last-known.json')]).toContain(NODE_TOKEN);
  });

  it("S17: nodes get their own token and nothing of the client's", () => {
    expect(fleet.inference.length).toBeGreaterThan(5);
    for (const { headers } of fleet.inference) {
      expect(headers.authorization).toBe(`Bearer ${NODE_TOKEN}`);
      expect(headers.cookie).toBeUndefined();
    }
    // Polls carry it as well.
    const polls = fleet.nodes.flatMap((node) => node.requests).filter(({ path }) => path === '/api/ps');
    expect(polls.every(({ headers }) => headers.authorization === `Bearer ${NODE_TOKEN}`)).toBe(true);
  });

  it('S21: what it keeps is for its own user only', () => {
    const mode = (path: string) => statSync(path).mode & 0o777;
    const { stateDir } = warmpath;
    expect(mode(stateDir)).toBe(0o700);
    for (const path of ['grpc.sock', 'envoy-admin.sock', 'nodes/last-known.json', 'envoy.yaml'])
      expect([path, mode(join(stateDir, path))]).toEqual([path, 0o600]);
    expect(mode(join(stateDir, 'nodes'))).toBe(0o700);
    for (const name of ['grpc.sock', 'envoy-admin.sock'])
      expect(statSync(join(stateDir, name)).isSocket()).toBe(true);
  });

  it('S21 S26: nothing listens but the port for clients and the one for operators', () => {
    const { pids } = warmpath;
    const expected = (url: string) => `127.0.0.1:${new URL(url).port}`;
    expect(listening(pids.envoy)).toEqual([expected(warmpath.url)]);
    expect(listening(pids.controlPlane)).toEqual([expected(warmpath.adminUrl)]);
    expect(listening(pids.supervisor)).toEqual([]);
  });

  it.each([
    '/config_dump',
    '/quitquitquit',
    '/clusters',
    '/metrics',
    '/status',
    '/decisions',
    '/healthz',
    '/readyz',
  ])('S26: clients do not reach %s', async (path) => {
    for (const method of ['GET', 'POST']) {
      const answer = await curl(['-X', method, '--path-as-is', `${warmpath.url}${path}`]);
      expect(answer.status).toBe(403);
    }
  });

  it('S08: names that were made to point at the operators are refused, addresses and localhost are not', async () => {
    for (const host of [
      'evil.example',
      'evil.example:9411',
      'localhost.evil.example',
      '127.0.0.1.evil.example',
    ]) {
      expect(await statusWithHost(host)).toBe(421);
    }
    for (const host of ['localhost:9411', '127.0.0.1', '[::1]:9411'])
      expect(await statusWithHost(host)).toBe(200);
  });

  it('S07: operators can read and nothing else', async () => {
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) {
      expect((await send(`${warmpath.adminUrl}/status`, { method })).status).toBe(405);
    }
  });

  function statusWithHost(host: string): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const asked = request(`${warmpath.adminUrl}/status`, { headers: { host } }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    asked.on('error', reject).end();
    return promise;
  }
});

function filesUnder(dir: string): string[] {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

/** `address:port` of each TCP socket on which the process listens. */
function listening(pid: number): string[] {
  const inodes = new Set(
    readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      try {
        return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1] ?? [];
      } catch {
        return []; // closed meanwhile
      }
    }),
  );
  const found = ['tcp', 'tcp6'].flatMap((table) =>
    readFileSync(`/proc/${pid}/net/${table}`, 'utf8')
      .split('\n')
      .slice(1)
      .map((line) => line.trim().split(/\s+/))
      .filter(([, , , state, , , , , , inode]) => state === '0A' && inodes.has(inode ?? ''))
      .map(([, local = '']) => readable(local)),
  );
  return [...new Set(found)];
}

/** `0100007F:2CAA` as the kernel writes it. */
function readable(local: string): string {
  const [address = '', port = ''] = local.split(':');
  const bytes = address.length === 8 ? (address.match(/../g) ?? []).reverse() : undefined;
  const text = bytes?.map((byte) => Number.parseInt(byte, 16)).join('.') ?? address;
  return `${text}:${Number.parseInt(port, 16)}`;
}
