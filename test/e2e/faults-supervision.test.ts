import { once } from 'node:events';
import { readdirSync, renameSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { realEnvoy, requireEnvoy } from '../support/envoy.ts';
import { figure } from '../support/figures.ts';
import { freePort } from '../support/free-port.ts';
import { post, send } from '../support/http-client.ts';
import { describeReal } from '../support/require-real.ts';
import { spawnProcess } from '../support/spawn-process.ts';
import { tempDir } from '../support/temp-dir.ts';
import { pause, waitFor } from '../support/wait-for.ts';
import { startWarmpath } from '../support/warmpath.ts';
import { BRISK, closeArenas, GENERATE, MODEL, startArena } from './faults/arena.ts';
import { failures, generateBody, isWhole, Load, maxAttempts, sample } from './faults/load.ts';
import { isAlive, waitForEnd } from './faults/processes.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const KIB = 1024;

const small = (tokens = 4) => {
  const body = generateBody(MODEL, KIB, { tokens });
  return () => body;
};

describeReal(await realEnvoy(), 'processes that end', () => {
  afterEach(closeArenas);

  it('F10: Envoy, killed under load, is back within seconds, and no lease of what was lost stays', async () => {
    const arena = await startArena();
    const load = new Load(arena.url, { perSecond: 40, body: small(100) });
    await pause(1_000);
    const { envoy, controlPlane } = arena.warmpath.pids;
    const killedAt = performance.now();
    process.kill(envoy, 'SIGKILL');
    await waitForEnd(envoy);
    await waitFor('Envoy to serve again', async () =>
      isWhole(await sample(arena.url + GENERATE, 0, small()())),
    );
    const gapMs = performance.now() - killedAt;
    const backAt = performance.now();
    await pause(1_500);
    const samples = await load.stop();
    const later = samples.filter((each) => each.sentAt > backAt);
    expect(failures(later)).toEqual([]);
    expect(later.length).toBeGreaterThan(20);
    expect(later.at(-1)?.routed).toBe(true);
    expect(gapMs).toBeLessThan(8_000);
    expect(arena.warmpath.pids.controlPlane).toBe(controlPlane);
    expect(arena.warmpath.pids.envoy).not.toBe(envoy);
    figure('F10 Envoy killed', { gapMs, lost: samples.filter((each) => !isWhole(each)).length });
    await arena.settled();
    expect((await arena.warmpath.status()).envoy?.restarts).toBe(1);
  });

  it('F12: SIGTERM lets running streams finish', async () => {
    const arena = await startArena();
    const { controlPlane, envoy } = arena.warmpath.pids;
    const streams = Array.from({ length: 20 }, (_, i) => sample(arena.url + GENERATE, i, small(800)()));
    await waitFor(
      'the streams to run',
      () => arena.fleet.inference.filter((each) => each.tokens > 0).length === 20,
    );
    arena.warmpath.process.kill('SIGTERM');
    const samples = await Promise.all(streams);
    expect(failures(samples)).toEqual([]);
    expect((await arena.warmpath.process.exited).code).toBe(0);
    expect(isAlive(controlPlane) || isAlive(envoy)).toBe(false);
  });

  it('F12: a second SIGTERM ends at once', async () => {
    const arena = await startArena({ common: { tokensPerSecond: 1 } });
    const { controlPlane, envoy } = arena.warmpath.pids;
    const stream = sample(arena.url + GENERATE, 0, small(100)());
    await waitFor('the stream to run', () => arena.fleet.inference.some((each) => each.tokens > 0));
    arena.warmpath.process.kill('SIGTERM');
    await pause(600);
    expect(isAlive(envoy)).toBe(true);
    const startedAt = performance.now();
    arena.warmpath.process.kill('SIGTERM');
    await arena.warmpath.process.exited;
    expect(performance.now() - startedAt).toBeLessThan(3_000);
    expect(isWhole(await stream)).toBe(false);
    expect(isAlive(controlPlane) || isAlive(envoy)).toBe(false);
  });

  it('F13: with the control plane down, a new Envoy serves from what was last known', async () => {
    const arena = await startArena();
    const { supervisor, controlPlane, envoy } = arena.warmpath.pids;
    await waitFor(
      'the last known nodes to be kept',
      () => readdirSync(join(arena.warmpath.stateDir, 'nodes')).length > 0,
    );
    // By hand: the supervisor would start both.
    process.kill(supervisor, 'SIGSTOP');
    try {
      for (const pid of [controlPlane, envoy]) {
        process.kill(pid, 'SIGKILL');
        await waitForEnd(pid);
      }
      const file = join(arena.warmpath.stateDir, 'envoy.yaml');
      const alone = spawnProcess(await requireEnvoy(), [
        '-c',
        file,
        '--disable-hot-restart',
        '--log-level',
        'off',
      ]);
      try {
        const startedAt = performance.now();
        const served = await waitFor('the first answer', async () => {
          const answer = await sample(arena.url + GENERATE, 0, small()());
          return isWhole(answer) && answer;
        });
        expect(performance.now() - startedAt).toBeLessThan(5_000);
        expect(served.routed).toBe(false);
        expect((await post(`${arena.url}/api/pull`, { model: MODEL })).status).toBe(403);
      } finally {
        await alone.stop();
      }
    } finally {
      process.kill(supervisor, 'SIGCONT');
    }
    await waitFor(
      'the supervisor to have restarted both',
      async () => (await sample(arena.url + GENERATE, 0, small()())).routed,
    );
  });

  it('a supervisor that is killed leaves no control plane, and the next start ends its Envoy', async () => {
    const arena = await startArena();
    const { supervisor, controlPlane, envoy } = arena.warmpath.pids;
    process.kill(supervisor, 'SIGKILL');
    await waitForEnd(controlPlane, 15_000);
    expect(isAlive(envoy)).toBe(true);
    expect(isWhole(await sample(arena.url + GENERATE, 0, small()()))).toBe(true);
    const port = new URL(arena.url).port;
    const admin = new URL(arena.warmpath.adminUrl).port;
    const next = spawnProcess(
      process.execPath,
      [
        ...[MAIN, 'up', '--listen', `127.0.0.1:${port}`, '--admin', `127.0.0.1:${admin}`],
        ...['--state-dir', arena.warmpath.stateDir],
        ...arena.fleet.specs.flatMap(({ name, url }) => ['--node', `${name}=${url}`]),
      ],
      { env: { ENVOY: await requireEnvoy() } },
    );
    try {
      await next.waitForOutput(/is up, with Envoy/, 20_000);
      expect(isAlive(envoy)).toBe(false);
      await waitFor(
        'requests to be routed',
        async () => (await sample(arena.url + GENERATE, 0, small()())).routed,
      );
    } finally {
      await next.stop(15_000);
    }
  });

  it('a second start on the same state directory says so, and harms nothing', async () => {
    const arena = await startArena({ count: 1 });
    const { envoy, controlPlane } = arena.warmpath.pids;
    const ports = ['--listen', `127.0.0.1:${await freePort()}`, '--admin', `127.0.0.1:${await freePort()}`];
    const second = spawnProcess(
      process.execPath,
      [MAIN, 'up', ...ports, '--state-dir', arena.warmpath.stateDir, '--node', 'http://127.0.0.1:9'],
      { env: { ENVOY: await requireEnvoy() } },
    );
    const { code } = await second.exited;
    expect(code).toBeGreaterThan(0);
    expect(second.output.trim()).toMatch(/^warmpath: another warmpath runs .*--state-dir$/);
    expect(arena.warmpath.pids).toMatchObject({ envoy, controlPlane });
    expect(isWhole(await sample(arena.url + GENERATE, 0, small()()))).toBe(true);
  });

  it.each(['--listen', '--admin'])(
    'a taken port (%s) is told in one line, and ends the start',
    async (flag) => {
      const taken = createServer().listen(0, '127.0.0.1');
      await once(taken, 'listening');
      const address = taken.address();
      const port = typeof address === 'object' ? address?.port : undefined;
      const ports = { '--listen': await freePort(), '--admin': await freePort(), [flag]: port };
      const dir = tempDir();
      const child = spawnProcess(
        process.execPath,
        [
          ...[MAIN, 'up', '--state-dir', dir.path, '--node', 'http://127.0.0.1:9'],
          ...Object.entries(ports).flatMap(([name, number]) => [name, `127.0.0.1:${number}`]),
        ],
        { env: { ENVOY: await requireEnvoy() } },
      );
      try {
        const { code } = await child.exited;
        expect(code).toBeGreaterThan(0);
        const lines = child.output.split('\n').filter((line) => line.includes(String(port)));
        expect(lines, child.output).toHaveLength(1);
        expect(lines[0]).toMatch(/taken|in use/);
        expect(child.output).not.toMatch(/ {4}at /);
      } finally {
        await child.stop();
        taken.close();
        dir.remove();
      }
    },
  );

  it('without any node every API says so in its own shape, with Retry-After', async () => {
    const warmpath = await startWarmpath({ nodes: [], waitForNodes: false });
    try {
      await warmpath.waitUntilRouting();
      const request = {
        model: 'alpha',
        messages: [{ role: 'user', content: 'x' }],
        prompt: 'x',
        max_tokens: 3,
      };
      const shapes: [path: string, shape: object][] = [
        ['/api/chat', { error: expect.any(String) }],
        [
          '/v1/chat/completions',
          { error: { message: expect.any(String), type: 'api_error', param: null, code: expect.anything() } },
        ],
        ['/v1/messages', { type: 'error', error: { type: 'overloaded_error', message: expect.any(String) } }],
      ];
      for (const [path, shape] of shapes) {
        const answer = await post(warmpath.url + path, request);
        expect([path, answer.status]).toEqual([path, 503]);
        expect(answer.json()).toMatchObject(shape);
        expect(answer.headers['retry-after'], path).toMatch(/^\d+$/);
      }
      expect((await send(`${warmpath.url}/api/tags`)).json()).toEqual({ models: [] });
    } finally {
      await warmpath.stop();
    }
  });
});

describeReal(await realEnvoy(), 'configurations that change under load', () => {
  afterEach(closeArenas);

  it('SIGHUP has the file read again, as systemctl reload does, though it has not changed', async () => {
    const arena = await startArena({ count: 1, config: BRISK });
    const read = () => arena.warmpath.metric('warmpath_config_reloads_total', { result: 'unchanged' });
    const before = await read();
    arena.warmpath.process.kill('SIGHUP');
    await waitFor('the file to be read', async () => (await read()) > before);
    expect(arena.warmpath.process.isRunning).toBe(true);
    expect(isWhole(await sample(arena.url + GENERATE, 0, small()()))).toBe(true);
  });

  it('F86 F87: bad files change nothing; good ones add, drain and remove a node without an error', async () => {
    const arena = await startArena({
      count: 3,
      warmpath: { nodes: [] },
      config: { ...BRISK, nodes: [] },
    });
    const file = join(arena.warmpath.stateDir, 'warmpath.yaml');
    const write = (text: string): void => {
      writeFileSync(`${file}.new`, text);
      renameSync(`${file}.new`, file);
    };
    const nodes = arena.fleet.specs;
    const config = (list: readonly object[]): string => stringify({ ...BRISK, nodes: list });
    const names = async (): Promise<string[]> =>
      (await arena.warmpath.status()).nodes.map((node) => node.name).sort();
    write(config(nodes.slice(0, 2)));
    await waitFor('two nodes', async () => (await names()).join() === 'n1,n2');
    await arena.warmpath.waitForNodes();
    await waitFor('the first whole answer', async () =>
      isWhole(await sample(arena.url + GENERATE, 0, small()())),
    );

    const load = new Load(arena.url, { perSecond: 50, body: small(20) });
    const rejected = (): Promise<number> =>
      arena.warmpath.metric('warmpath_config_reloads_total', { result: 'rejected' });
    const bad = [
      'nodes: [',
      stringify({ ...BRISK, nodes, colour: 'blue' }),
      config([nodes[0] ?? {}, nodes[0] ?? {}]),
      config([{ name: 'x', url: 'ftp://x' }]),
      '\0\0\0',
      stringify({ ...BRISK, nodes, poll: { interval: 'never' } }),
    ];
    for (const [i, text] of bad.entries()) {
      const before = await rejected();
      write(text);
      await waitFor(`bad file ${i} to be refused`, async () => (await rejected()) > before);
      expect(await names()).toEqual(['n1', 'n2']);
    }
    expect((await arena.warmpath.status()).alarms.map((alarm) => alarm.code)).toContain('config_rejected');

    write(config(nodes));
    await waitFor('n3', async () => (await names()).includes('n3'));
    await waitFor('n3 to serve', () => arena.fleet.node('n3').inferenceRequests.length > 0);
    expect((await arena.warmpath.status()).alarms.map((alarm) => alarm.code)).not.toContain(
      'config_rejected',
    );

    write(config(nodes.map((node) => (node.name === 'n2' ? { ...node, drain: true } : node))));
    await arena.waitForStatus('n2', ['draining']);
    await pause(200);
    const served = arena.fleet.node('n2').inferenceRequests.length;
    await pause(800);
    expect(arena.fleet.node('n2').inferenceRequests).toHaveLength(served);

    write(config(nodes.filter((node) => node.name !== 'n2')));
    await waitFor('n2 to be gone', async () => (await names()).join() === 'n1,n3');
    // A storm of files: the last one counts.
    for (let i = 0; i < 100; i++) write(config(i % 2 === 0 ? nodes : nodes.slice(0, 2)));
    write(config(nodes));
    await waitFor('the last file to hold', async () => (await names()).join() === 'n1,n2,n3');
    await pause(500);
    const samples = await load.stop();
    expect(failures(samples)).toEqual([]);
    expect(maxAttempts(samples)).toBe(1);
    expect(samples.every((each) => each.routed)).toBe(true);
    await arena.settled();
  });
});
