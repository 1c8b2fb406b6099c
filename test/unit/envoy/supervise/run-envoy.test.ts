import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EnvoyError } from '../../../../src/envoy/bootstrap/envoy-error.ts';
import {
  type EnvoyEvent,
  type RunEnvoyOptions,
  runEnvoy,
} from '../../../../src/envoy/supervise/run-envoy.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { bootstrapOptions } from '../bootstrap/options.ts';
import { FakeAdmin, FakeChild } from './fakes.ts';

describe('runEnvoy', () => {
  let stateDir: string;
  let clock: FakeClock;
  let admin: FakeAdmin;
  let events: EnvoyEvent[];
  let children: FakeChild[];
  let lines: ((line: string) => void)[];
  let args: readonly string[];
  let stop: AbortController;
  let killer: AbortController;
  beforeEach(async () => {
    stateDir = await mkdtemp(join(tmpdir(), 'warmpath-run-'));
    clock = new FakeClock();
    admin = new FakeAdmin();
    [events, children, lines, args] = [[], [], [], []];
    [stop, killer] = [new AbortController(), new AbortController()];
  });
  afterEach(() => rm(stateDir, { recursive: true, force: true }));

  const start = (overrides: Partial<RunEnvoyOptions> = {}): Promise<void> =>
    runEnvoy(
      {
        binary: { path: '/opt/envoy', version: '1.40.0' },
        bootstrap: bootstrapOptions({
          lastKnownFile: join(stateDir, 'nodes.json'),
          admin: { kind: 'unix', path: join(stateDir, 'admin.sock') },
        }),
        stateDir,
        concurrency: 2,
        drainMs: 10_000,
        killSignal: killer.signal,
        onEvent: (event) => void events.push(event),
        clock,
        random: () => 1,
        run: () => Promise.resolve({ code: 0, output: '' }),
        spawn: (_path, given, onLine) => {
          const child = new FakeChild(1000 + children.length);
          children.push(child);
          lines.push(onLine);
          args = given;
          return child;
        },
        admin,
        processes: { commandLine: () => Promise.resolve(undefined), kill: () => {} },
        requireFreePort: () => Promise.resolve(),
        ...overrides,
      },
      stop.signal,
    );

  /** Files are written in their own time; time of the fake clock passes meanwhile only as far as told. */
  const until = async (what: () => boolean, stepMs = 0) => {
    while (!what()) await clock.advance(stepMs);
  };
  const seen = (kind: EnvoyEvent['kind']) => events.filter((event) => event.kind === kind);

  it('writes what Envoy needs, for its owner only, and says when it serves', async () => {
    const running = start();
    await until(() => seen('ready').length === 1);
    expect((await stat(join(stateDir, 'envoy.yaml'))).mode & 0o777).toBe(0o600);
    expect(await readFile(join(stateDir, 'nodes.json'), 'utf8')).toBe('{"version_info":"0","resources":[]}');
    expect(await readFile(join(stateDir, 'envoy.pid'), 'utf8')).toBe('1000\n');
    expect(args).toEqual(
      expect.arrayContaining([
        '-c',
        join(stateDir, 'envoy.yaml'),
        '--concurrency',
        '2',
        '--disable-hot-restart',
      ]),
    );
    stop.abort();
    await running;
    expect(events.map(({ kind }) => kind)).toEqual(['started', 'ready', 'draining', 'stopped']);
    await expect(stat(join(stateDir, 'envoy.pid'))).rejects.toThrow();
  });

  it('keeps the nodes that an earlier run knew', async () => {
    await writeFile(join(stateDir, 'nodes.json'), '{"version_info":"7","resources":["kept"]}');
    const running = start();
    await until(() => seen('started').length === 1);
    stop.abort();
    await running;
    expect(await readFile(join(stateDir, 'nodes.json'), 'utf8')).toContain('kept');
  });

  it('F10: starts a crashed one again, later each time', async () => {
    const running = start();
    for (let crash = 1; crash <= 4; crash++) {
      await until(() => seen('ready').length === crash);
      children[crash - 1]?.exit(139);
      await until(() => seen('crashed').length === crash);
      await clock.advance(100 * 2 ** (crash - 1));
    }
    const delays = events.flatMap((event) => (event.kind === 'crashed' ? [event.restartInMs] : []));
    expect(delays).toEqual([100, 200, 400, 800]);
    await until(() => seen('ready').length === 5);
    await clock.advance(60_000);
    children[4]?.exit(1);
    await until(() => seen('crashed').length === 5);
    expect(events.at(-1)).toMatchObject({ kind: 'crashed', restartInMs: 100, exit: { code: 1 } });
    stop.abort();
    await running;
    expect(children).toHaveLength(5);
  });

  it('does not start one again that ended while it was being stopped', async () => {
    admin.active = 1;
    const running = start();
    await until(() => seen('ready').length === 1);
    stop.abort();
    await until(() => seen('draining').length === 1);
    children[0]?.exit(0);
    await running;
    expect(children).toHaveLength(1);
  });

  it('ends at once when killed without being stopped first', async () => {
    admin.active = 5;
    const running = start();
    await until(() => seen('ready').length === 1);
    killer.abort();
    await running;
    expect(children[0]?.signals).toEqual(['SIGKILL']);
  });

  it('says why a configuration is refused, and starts nothing', async () => {
    const output =
      "error initializing configuration '/x/envoy.yaml': paths must refer to an existing path: 'ca.pem'\n";
    const running = start({ run: () => Promise.resolve({ code: 1, output }) });
    await expect(running).rejects.toThrow(
      new EnvoyError(
        "Envoy 1.40.0 refuses its configuration: paths must refer to an existing path: 'ca.pem'",
      ),
    );
    expect(children).toEqual([]);
  });

  it('asks for the port before anything is written', async () => {
    const requireFreePort = () => Promise.reject(new EnvoyError('port 11434 is taken'));
    await expect(start({ requireFreePort })).rejects.toThrow('port 11434 is taken');
    await expect(stat(join(stateDir, 'envoy.yaml'))).rejects.toThrow();
  });

  it('ends what a killed supervisor left behind, and nothing else', async () => {
    const killed: [number, NodeJS.Signals][] = [];
    let line: string | undefined = `/opt/envoy -c ${join(stateDir, 'envoy.yaml')} --concurrency 2`;
    const processes = {
      commandLine: () => Promise.resolve(line),
      kill: (pid: number, signal: NodeJS.Signals) => {
        killed.push([pid, signal]);
        line = undefined;
      },
    };
    await writeFile(join(stateDir, 'envoy.pid'), '4711\n');
    const running = start({ processes });
    await until(() => seen('ready').length === 1, 50);
    expect(killed[0]).toEqual([4711, 'SIGTERM']);
    expect(events[0]).toEqual({ kind: 'orphan_ended', pid: 4711 });
    stop.abort();
    await running;

    killed.length = 0;
    line = '/usr/bin/something-else';
    await writeFile(join(stateDir, 'envoy.pid'), '4711\n');
    stop = new AbortController();
    const again = start({ processes });
    await until(() => seen('ready').length === 2, 50);
    expect(killed).toEqual([]);
    stop.abort();
    await again;
  });

  it('passes warnings on, up to a flood', async () => {
    const running = start();
    await until(() => seen('started').length === 1);
    const log = (line: string) => lines[0]?.(line);
    log('info\tmain\tall fine');
    log('warning\tmain\tcaught ENVOY_SIGTERM');
    log(
      'warning\tconfig\tStreamEndpoints gRPC config stream to warmpath closed since 0s ago: 14, no healthy upstream',
    );
    log('warning\tupstream\ta\tb');
    log('critical\tmain\tout of memory');
    log('  a further line');
    expect(seen('log')).toEqual([
      { kind: 'log', level: 'warn', component: 'upstream', message: 'a\tb' },
      { kind: 'log', level: 'error', component: 'main', message: 'out of memory' },
    ]);
    for (let i = 0; i < 100; i++) log(`warning\tx\t${i}`);
    expect(seen('log')).toHaveLength(20);
    await clock.advance(10_000);
    log('warning\tx\tlast');
    expect(seen('log').slice(20)).toMatchObject([
      { message: '82 more lines of Envoy left out' },
      { message: 'last' },
    ]);
    stop.abort();
    await running;
  });
});
