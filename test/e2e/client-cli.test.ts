import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { explanationSchema } from '../../src/api/explain-schema.ts';
import { statusSchema } from '../../src/api/status-schema.ts';
import { type SimulatedFleet, startFleet } from '../sim/fleet.ts';
import { realEnvoy } from '../support/envoy.ts';
import { freePort } from '../support/free-port.ts';
import { post, send } from '../support/http-client.ts';
import { describeReal } from '../support/require-real.ts';
import { type SpawnedProcess, spawnProcess } from '../support/spawn-process.ts';
import { type TempDir, tempDir } from '../support/temp-dir.ts';
import { waitFor } from '../support/wait-for.ts';
import { type RunningWarmpath, startWarmpath } from '../support/warmpath.ts';

const PROGRAM = fileURLToPath(new URL('../../bin/warmpath.js', import.meta.url));
const ENV = { NO_COLOR: '1', COLUMNS: '160', WARMPATH_CONFIG: undefined, WARMPATH_NODES: undefined };
const GENERATE = { model: 'alpha', prompt: 'hi', stream: false };

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs the program to its end, as a user types it. */
async function warmpathCli(...args: string[]): Promise<Ended> {
  const child = spawn(process.execPath, [PROGRAM, ...args], { env: { ...process.env, ...ENV } });
  let [out, err] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, out, err };
}

const start = (...args: string[]): SpawnedProcess =>
  spawnProcess(process.execPath, [PROGRAM, ...args], { env: ENV });

const { path: envoyPath = 'envoy', ...envoy } = await realEnvoy();
describeReal({ ...envoy, path: envoyPath === 'envoy' ? undefined : envoyPath }, 'the command line', () => {
  let fleet: SimulatedFleet;
  let warmpath: RunningWarmpath;

  beforeAll(async () => {
    fleet = await startFleet(2, { models: [{ name: 'alpha', sizeBytes: 1e9 }], timeScale: 100 }, (index) =>
      index === 0 ? {} : { models: ['alpha', 'only-two'].map((name) => ({ name, sizeBytes: 1e9 })) },
    );
    await fleet.node('n2').load('alpha');
    warmpath = await startWarmpath({ nodes: fleet.specs });
  });
  afterAll(async () => {
    await warmpath?.stop();
    await fleet?.close();
  });

  const admin = () => ['--admin', new URL(warmpath.adminUrl).host];

  describe('status', () => {
    it('is a table of nodes', async () => {
      const { code, out } = await warmpathCli('status', ...admin());
      expect(code, out).toBe(0);
      expect(out).toMatch(/warmpath \S+ · ready · up .* · 2 of 2 nodes ready/);
      expect(out).toMatch(/NODE +STATE +MODELS WARM +IN FLIGHT +SLOTS +VRAM +RTT/);
      expect(out).toMatch(/n1 +ready +none of 1/);
      expect(out).toMatch(/n2 +ready +alpha:latest/);
    });

    it('--json has everything, the outcomes of requests too', async () => {
      const answer = await post(`${warmpath.url}/api/generate`, GENERATE);
      const report = await waitFor('the outcome', async () => {
        const { out } = await warmpathCli('status', '--json', ...admin());
        const report = statusSchema.parse(JSON.parse(out));
        const decision = report.decisions.find(({ id }) => id === answer.headers['x-warmpath-decision']);
        return decision?.outcome === undefined ? undefined : { ...report, decision };
      });
      expect(report.decision).toMatchObject({
        path: '/api/generate',
        model: 'alpha:latest',
        ranking: { nodes: [{ id: 'n2', reason: 'warm_idle' }, { id: 'n1' }] },
        outcome: { status: 200, end: 'complete', attempts: 1, usage: { completionTokens: 32 } },
      });
      expect(report.envoy?.version).toMatch(/^1\.\d+/);
      expect(report.nodes.map(({ name }) => name)).toEqual(['n1', 'n2']);
    });

    it('says what to do where nothing answers', async () => {
      const { code, err } = await warmpathCli('status', '--admin', `127.0.0.1:${await freePort()}`);
      expect(code).toBe(3);
      expect(err).toMatch(/no Warmpath answers at .*\n {2}Is it running\? Start it with: npm run up/);
    });
  });

  describe('explain', () => {
    it('says who would be chosen and why', async () => {
      const { code, out } = await warmpathCli('explain', 'alpha', ...admin());
      expect(code, out).toBe(0);
      expect(out).toContain('2 of 2 nodes would be tried, in this order');
      expect(out.indexOf('n2')).toBeLessThan(out.indexOf('n1'));
      expect(out).toContain('warm, a slot is free');
    });

    it('--json is for programs, and agrees with what then happens', async () => {
      const { out } = await warmpathCli('explain', 'only-two', '--json', ...admin());
      const { ranking } = explanationSchema.parse(JSON.parse(out));
      expect(ranking.nodes.map(({ id }) => id)).toEqual(['n2']);
      expect(ranking.rejected).toMatchObject([{ id: 'n1', reason: 'model_unknown' }]);
      const answer = await post(`${warmpath.url}/api/generate`, { ...GENERATE, model: 'only-two' });
      expect(answer.headers['x-warmpath-node']).toBe('n2');
    });

    it('fails for a model that nobody has', async () => {
      const { code, out, err } = await warmpathCli('explain', 'nope', ...admin());
      expect(code).toBe(1);
      expect(out + err).toMatch(/nope/);
      expect(out).toMatch(/n1 +does not have the model/);
    });

    it('--decision tells of a refusal what its client was told, and why no node took it', async () => {
      const answer = await post(`${warmpath.url}/api/generate`, { ...GENERATE, model: 'nope' });
      expect(answer.status).toBe(404);
      const id = String(answer.headers['x-warmpath-decision']);
      const { code, out } = await warmpathCli('explain', '--decision', id, ...admin());
      expect(code, out).toBe(0);
      expect(out).toContain("refused: model_not_found, model 'nope' not found");
    });
  });

  describe('check', () => {
    const dir = mkdtempSync(join(tmpdir(), 'wp-check-'));
    afterAll(() => rmSync(dir, { recursive: true }));
    const file = (text: string) => {
      const path = join(dir, 'warmpath.yaml');
      writeFileSync(path, text);
      return path;
    };

    it('reports every problem at once, each with its line and path', async () => {
      const lines = [
        ...['listen: nowhere', 'poll:', '  interval: 2 s', '  intervall: 1s', 'nodes:'],
        ...[
          '  - url: http://a:1',
          '    name: x',
          '  - url: ftp://b',
          '    slots: 0',
          '  - name: x',
          '    url: http://c:1',
        ],
      ];
      const { code, err, out } = await warmpathCli('check', '--config', file(lines.join('\n')));
      expect([code === 0, out]).toEqual([false, '']);
      const places = err
        .split('\n')
        .flatMap((line) => /^ {2}warmpath\.yaml:(\d+):\d+ (\S+):/.exec(line)?.slice(1).join(' ') ?? []);
      expect(places).toEqual([
        '1 listen',
        '3 poll.interval',
        '4 poll.intervall',
        '8 nodes.1.url',
        '9 nodes.1.slots',
        '10 nodes.2.name',
      ]);
      expect(err).toContain('did you mean "interval"?');
    });

    it('says what a good one would run, without its tokens', async () => {
      const path = file(
        'nodes:\n  - { name: gpu1, url: "http://10.0.0.1:11434", token: canary-token, slots: 4 }\n',
      );
      const { code, out } = await warmpathCli('check', '--config', path);
      expect(code, out).toBe(0);
      expect(out).toMatch(/gpu1 +http:\/\/10\.0\.0\.1:11434 +4/);
      expect(out).not.toContain('canary-token');
      expect(out).toMatch(/admin +127\.0\.0\.1:9411/);
    });

    it('H15: a node that is Warmpath itself is a mistake', async () => {
      const { code, err } = await warmpathCli(
        'check',
        '--listen',
        '127.0.0.1:5000',
        '--node',
        'http://127.0.0.1:5000',
      );
      expect(code).not.toBe(0);
      expect(err).toContain("Warmpath's own address");
    });
  });

  it('envoy-config prints what Envoy takes', async () => {
    const dir = tempDir('wp-config-');
    try {
      const { code, out } = await warmpathCli(
        'envoy-config',
        '--state-dir',
        dir.path,
        '--node',
        'https://gpu1:11434',
      );
      expect(code).toBe(0);
      const file = join(dir.path, 'printed.yaml');
      writeFileSync(file, out);
      const validation = spawnProcess(envoyPath, ['--mode', 'validate', '-c', file]);
      expect((await validation.exited).code, validation.output).toBe(0);
      expect(validation.output).toContain('OK');
    } finally {
      dir.remove();
    }
  });

  it('serve works with an Envoy that somebody else runs, and outlives it', async () => {
    const dir = tempDir('wp-serve-');
    const [port, adminPort, grpc] = [await freePort(), await freePort(), await freePort()];
    const flags = [
      '--listen',
      `127.0.0.1:${port}`,
      '--admin',
      `127.0.0.1:${adminPort}`,
      '--state-dir',
      dir.path,
    ];
    flags.push(
      '--grpc',
      `127.0.0.1:${grpc}`,
      ...fleet.specs.flatMap(({ name, url }) => ['--node', `${name}=${url}`]),
    );
    const serving = start('serve', ...flags);
    const running: SpawnedProcess[] = [serving];
    try {
      const file = join(dir.path, 'external.yaml');
      writeFileSync(file, (await warmpathCli('envoy-config', ...flags)).out);
      await serving.waitForOutput(/control plane is listening/);
      const runEnvoy = () => {
        const child = spawnProcess(envoyPath, [
          '-c',
          file,
          '--concurrency',
          '1',
          '--use-dynamic-base-id',
          '-l',
          'error',
        ]);
        running.push(child);
        return child;
      };
      const routed = () =>
        waitFor('a routed answer', async () => {
          const body = { ...GENERATE, model: 'only-two' };
          const answer = await post(`http://127.0.0.1:${port}/api/generate`, body);
          return (
            answer.status === 200 &&
            answer.headers['x-warmpath-decision'] &&
            answer.headers['x-warmpath-node']
          );
        });
      const external = runEnvoy();
      expect(await routed()).toBe('n2');
      expect((await send(`http://127.0.0.1:${port}/api/tags`)).json()).toMatchObject({ models: [{}, {}] });
      await external.stop();
      expect((await send(`http://127.0.0.1:${adminPort}/readyz`)).status).toBe(200);
      runEnvoy();
      expect(await routed()).toBe('n2');
    } finally {
      for (const child of running.reverse()) await child.stop();
      dir.remove();
    }
    expect((await serving.exited).code).toBe(0);
  });

  describe('up', () => {
    let dir: TempDir;
    let running: SpawnedProcess | undefined;

    const up = async (...args: string[]) => {
      dir = tempDir('wp-cli-up-');
      const [port, adminPort] = [await freePort(), await freePort()];
      running = start(
        'up',
        '--listen',
        `127.0.0.1:${port}`,
        '--admin',
        `127.0.0.1:${adminPort}`,
        '--state-dir',
        dir.path,
        '--envoy',
        envoyPath,
        ...args,
      );
      return { port, adminPort, running };
    };
    const end = async () => {
      const exit = await running?.stop(15_000);
      dir.remove();
      return exit;
    };

    it('--demo says where it listens, what it sees and what to try; Ctrl-C ends it', async () => {
      const { port, adminPort, running: demo } = await up('--demo');
      try {
        await demo.waitForOutput(/npx warmpath explain/, 30_000);
        const said = demo.output;
        expect(said).toMatch(/warmpath \S+ is up, with Envoy 1\.\d+/);
        expect(said).toContain(`http://localhost:${port}`);
        expect(said).toContain(`http://localhost:${adminPort}/status`);
        expect(said.match(/ready, \d+ models?/g)).toHaveLength(3);
        // What it says to try works as written.
        const [, tryUrl = ''] = /curl (\S+\/api\/tags)/.exec(said) ?? [];
        const { models } = (await send(tryUrl)).json() as { models: { name: string }[] };
        expect(models.length).toBeGreaterThan(1);
        const explain = /npx warmpath (explain .*)/.exec(said)?.[1]?.trim().split(/\s+/) ?? [];
        const explained = await warmpathCli(...explain);
        expect(explained.code, explained.err).toBe(0);
        demo.kill('SIGINT');
        expect(await demo.exited).toEqual({ code: 0, signal: null });
        await expect(send(`http://127.0.0.1:${port}/`)).rejects.toThrow();
      } finally {
        await end();
      }
    });

    it('an unreachable node is one line with the remedy, and the others serve', async () => {
      const dead = await freePort();
      const good = fleet.node('n2').url;
      const { port, running: mixed } = await up(
        '--node',
        `good=${good}`,
        '--node',
        `dead=http://127.0.0.1:${dead}`,
      );
      try {
        await mixed.waitForOutput(/npx warmpath explain/, 30_000);
        const line = mixed.output.split('\n').find((text) => text.includes(`http://127.0.0.1:${dead}`));
        expect(line).toMatch(
          /dead +http:\S+ +refuses connections: is Ollama running there, with OLLAMA_HOST=0\.0\.0\.0/,
        );
        const answer = await post(`http://127.0.0.1:${port}/api/generate`, GENERATE);
        expect([answer.status, answer.headers['x-warmpath-node']]).toEqual([200, 'good']);
      } finally {
        expect((await end())?.code).toBe(0);
      }
    });

    it('a taken port is one line with the remedy', async () => {
      const taken = new URL(warmpath.url).port;
      const { running: clash } = await up('--listen', `127.0.0.1:${taken}`);
      const { code } = await clash.exited;
      expect(code).not.toBe(0);
      const lines = clash.output.trim().split('\n');
      expect(lines).toHaveLength(1);
      expect(lines[0]).toMatch(new RegExp(`port ${taken} .*--listen`));
      await end();
    });

    it('a taken port for operators is one line with the remedy', async () => {
      const taken = new URL(warmpath.adminUrl).port;
      const { running: clash } = await up('--admin', `127.0.0.1:${taken}`);
      const { code } = await clash.exited;
      expect(code).not.toBe(0);
      expect(clash.output).toMatch(new RegExp(`admin port ${taken} is taken: .*--admin`));
      expect(clash.output).not.toMatch(/\n\s+at /);
      await end();
    });

    it('a mistake in the configuration is told with its place, and nothing starts', async () => {
      const { running: wrong } = await up('--node', 'ftp://x');
      expect((await wrong.exited).code).toBe(1);
      expect(wrong.output).toMatch(/--node nodes\.0\.url: expected http or https/);
      expect(wrong.output).not.toMatch(/\n\s+at /);
      await end();
    });
  });
});
