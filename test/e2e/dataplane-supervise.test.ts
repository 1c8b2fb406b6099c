import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { systemClock } from '../../src/app/system-clock.ts';
import { runCommand } from '../../src/envoy/bootstrap/command.ts';
import {
  type BootstrapOptions,
  DEFAULT_LIMITS,
  DEFAULT_TIMEOUTS,
} from '../../src/envoy/bootstrap/options.ts';
import { renderBootstrap } from '../../src/envoy/bootstrap/render.ts';
import { envoyAdmin } from '../../src/envoy/supervise/admin-client.ts';
import { spawnEnvoy } from '../../src/envoy/supervise/child.ts';
import { processes } from '../../src/envoy/supervise/orphan.ts';
import { requireFreePort } from '../../src/envoy/supervise/port-probe.ts';
import { type EnvoyEvent, runEnvoy } from '../../src/envoy/supervise/run-envoy.ts';
import { bootstrapOptions } from '../unit/envoy/bootstrap/options.ts';
import { dataPlane, envoyBinary } from './dataplane/envoy-binary.ts';
import { freePort } from './dataplane/free-port.ts';
import { ScriptedNode } from './dataplane/scripted-node.ts';
import { lbEndpoint } from './dataplane/test-envoy.ts';

dataPlane('a supervised Envoy', () => {
  let dir: string;
  let options: BootstrapOptions;
  let stop: AbortController;
  let killer: AbortController;
  let events: EnvoyEvent[];
  const node = new ScriptedNode();
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'warmpath-sv-'));
    [stop, killer, events] = [new AbortController(), new AbortController(), []];
    await node.start();
    options = bootstrapOptions({
      listen: { host: '127.0.0.1', port: await freePort() },
      grpc: { kind: 'unix', path: join(dir, 'grpc.sock') },
      admin: { kind: 'unix', path: join(dir, 'admin.sock') },
      lastKnownFile: join(dir, 'nodes.json'),
    });
    const resource = {
      '@type': 'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment',
      cluster_name: 'nodes_last_known',
      endpoints: [{ lb_endpoints: [lbEndpoint({ name: 'n', port: node.port })] }],
    };
    await writeFile(options.lastKnownFile, JSON.stringify({ version_info: '1', resources: [resource] }));
  });
  afterEach(async () => {
    killer.abort();
    await node.stop();
    await rm(dir, { recursive: true, force: true });
  });

  const start = (drainMs = 5_000): Promise<void> =>
    runEnvoy(
      {
        binary: { path: envoyBinary().path ?? '', version: '1.40.0' },
        bootstrap: options,
        stateDir: dir,
        concurrency: 1,
        drainMs,
        killSignal: killer.signal,
        onEvent: (event) => void events.push(event),
        clock: systemClock,
        random: Math.random,
        run: runCommand,
        spawn: spawnEnvoy,
        admin: envoyAdmin(options.admin),
        processes,
        requireFreePort,
      },
      stop.signal,
    );
  const seen = (kind: EnvoyEvent['kind']) => events.filter((event) => event.kind === kind).length;
  const until = (kind: EnvoyEvent['kind'], times = 1) =>
    expect.poll(() => seen(kind), { timeout: 15_000, interval: 10 }).toBe(times);
  const ask = () => fetch(`http://127.0.0.1:${options.listen.port}/api/chat`, { method: 'POST', body: '{}' });
  const envoyPid = async () => Number(await readFile(join(dir, 'envoy.pid'), 'utf8'));

  it('serves, and F12 lets a running answer end before it goes', async () => {
    const running = start();
    await until('ready');
    node.script = (_request, response) => {
      response.write('a');
      setTimeout(() => response.end('b'), 800);
    };
    const answer = await ask();
    const began = performance.now();
    stop.abort();
    expect(await answer.text()).toBe('ab');
    await running;
    expect(performance.now() - began).toBeLessThan(3_000);
    await expect(ask()).rejects.toThrow();
  });

  it('ends a stream that lasts longer than it may', async () => {
    const running = start(300);
    await until('ready');
    node.script = (_request, response) => void response.write('a');
    const answer = await ask();
    stop.abort();
    await running;
    await expect(answer.text()).rejects.toThrow();
  });

  it('F10: is back within two seconds of a kill, without a control plane', async () => {
    const running = start();
    await until('ready');
    process.kill(await envoyPid(), 'SIGKILL');
    const began = performance.now();
    await until('ready', 2);
    expect((await ask()).status).toBe(200);
    expect(performance.now() - began).toBeLessThan(4_000);
    expect(events).toContainEqual({
      kind: 'crashed',
      exit: { code: null, signal: 'SIGKILL' },
      restartInMs: expect.any(Number),
    });
    stop.abort();
    await running;
  });

  it('says in one line why it cannot start', async () => {
    options = { ...options, tls: [{ name: 'tls', caFile: '/does/not/exist.pem' }] };
    await expect(start()).rejects.toThrow(/refuses its configuration: .*\/does\/not\/exist\.pem/);
  });

  it('refuses to share a port', async () => {
    options = { ...options, listen: { host: '127.0.0.1', port: node.port } };
    await expect(start()).rejects.toThrow(/port \d+ is taken/);
    expect(seen('started')).toBe(0);
  });

  it('ends what a killed supervisor left behind, and takes its port', async () => {
    const orphan = await leaveOrphan(dir, options);
    await expect.poll(() => envoyAdmin(options.admin).isReady(), { timeout: 10_000 }).toBe(true);
    const pid = orphan.pid ?? 0;
    await writeFile(join(dir, 'envoy.pid'), String(pid));
    const gone = once(orphan, 'exit');
    const running = start();
    await until('ready');
    await gone;
    expect(events[0]).toEqual({ kind: 'orphan_ended', pid });
    expect((await ask()).status).toBe(200);
    stop.abort();
    await running;
  });
});

/** Envoy without its supervisor. */
async function leaveOrphan(dir: string, options: BootstrapOptions): Promise<ChildProcess> {
  const file = join(dir, 'envoy.yaml');
  await writeFile(file, renderBootstrap(options));
  return spawn(envoyBinary().path ?? '', ['-c', file, '--disable-hot-restart', '--concurrency', '1'], {
    stdio: 'ignore',
  });
}

dataPlane('every way of listening and connecting', () => {
  const base = (dir: string): BootstrapOptions => ({
    listen: { host: '0.0.0.0', port: 11434 },
    grpc: { kind: 'unix', path: join(dir, 'grpc.sock') },
    admin: { kind: 'unix', path: join(dir, 'admin.sock') },
    lastKnownFile: join(dir, 'nodes.json'),
    tls: [],
    origins: [],
    hostnames: [],
    exposeHeaders: true,
    limits: DEFAULT_LIMITS,
    timeouts: DEFAULT_TIMEOUTS,
  });
  const certificate = fileURLToPath(new URL('./dataplane/tls/ca.pem', import.meta.url));

  it.each<[string, Partial<BootstrapOptions>]>([
    ['the defaults', {}],
    ['IPv6', { listen: { host: '::', port: 11434 } }],
    ['IPv6 loopback', { listen: { host: '::1', port: 11434 }, hostnames: ['gpu.box', 'a-b'] }],
    ['a control plane over TCP', { grpc: { kind: 'tcp', host: '127.0.0.1', port: 9412 } }],
    ['a control plane over TCP, IPv6', { grpc: { kind: 'tcp', host: '::1', port: 9412 } }],
    ['a control plane by name', { grpc: { kind: 'tcp', host: 'control.internal', port: 9412 } }],
    ['an admin port', { admin: { kind: 'tcp', host: '127.0.0.1', port: 9901 } }],
    ['origins', { origins: ['https://*.example.com', 'chrome-extension://*', 'https://a.b(c)[d]+e'] }],
    ['any origin', { origins: ['*'] }],
    ['no headers', { exposeHeaders: false }],
    ['a heap limit', { limits: { ...DEFAULT_LIMITS, heapBytes: 1 << 30 } }],
    ['small limits', { limits: { bodyBytes: 1, connections: 1, heapBytes: undefined, attempts: 1 } }],
    [
      'large limits',
      { limits: { bodyBytes: 2 ** 32 - 1, connections: 1e6, heapBytes: 2 ** 40, attempts: 10 } },
    ],
    [
      'TLS to nodes',
      {
        tls: [
          { name: 'tls', caFile: certificate },
          { name: 'tls-0a1b', caFile: certificate },
        ],
      },
    ],
    [
      'a hundred origins',
      { origins: Array.from({ length: 100 }, (_, i) => `https://host-${i}.example.com`) },
    ],
  ])('%s: Envoy takes the bootstrap', async (_what, overrides) => {
    const dir = await mkdtemp(join(tmpdir(), 'warmpath-ok-'));
    const options = { ...base(dir), ...overrides };
    await writeFile(options.lastKnownFile, '{"version_info":"0","resources":[]}');
    const file = join(dir, 'envoy.yaml');
    await writeFile(file, renderBootstrap(options));
    const args = ['--mode', 'validate', '-c', file, '-l', 'warning'];
    const { code, output } = await runCommand(envoyBinary().path ?? '', args, new AbortController().signal);
    expect([code, output.replace(/configuration '.*' OK/, '').trim()]).toEqual([0, '']);
    await rm(dir, { recursive: true });
  });
});
