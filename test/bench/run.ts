/**
 * npm run bench [-- --rounds N] [--seconds N] [--only NAME,…]
 *
 * Warmpath and bare Envoy over the same two mock nodes, in one run, rounds interleaved. Prints Warmpath's share of bare
 * Envoy's requests per second, added latency, and CPU per request of Envoy and of Node.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { requireEnvoy } from '../support/envoy.ts';
import { freePort } from '../support/free-port.ts';
import { startWarmpath } from '../support/warmpath.ts';
import { writeBareBootstrap } from './lib/bare-envoy.ts';
import { cpuSeconds, peakRssMiB } from './lib/cpu.ts';
import { median, spread } from './lib/stats.ts';
import { buildTool, type LoadResult, runLoad } from './lib/tools.ts';

interface Scenario {
  readonly name: string;
  readonly clients: number;
  readonly bodyBytes: number;
  readonly path: string;
  readonly args: readonly string[];
  /** Share of bare Envoy's requests per second that we promise; undefined where another figure counts. */
  readonly target?: number;
}

const MODEL = 'llama3.2:1b';
const CHAT = '/api/chat';
const SCENARIOS: readonly Scenario[] = [
  { name: '300B-c1', clients: 1, bodyBytes: 300, path: CHAT, args: [] },
  { name: '300B-c32', clients: 32, bodyBytes: 300, path: CHAT, args: [], target: 0.3 },
  { name: '32KiB-c16', clients: 16, bodyBytes: 32 << 10, path: CHAT, args: [] },
  { name: '220KB-c8', clients: 8, bodyBytes: 220_000, path: CHAT, args: [], target: 0.45 },
  { name: '1MiB-c4', clients: 4, bodyBytes: 1 << 20, path: CHAT, args: [], target: 0.55 },
  { name: 'stream-c200', clients: 200, bodyBytes: 300, path: CHAT, args: ['-stream', '-tokens', '100'] },
];

interface Sample {
  readonly load: LoadResult;
  /** CPU milliseconds per request. */
  readonly envoyCpuMs: number;
  readonly nodeCpuMs: number;
}

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '4' },
    only: { type: 'string' },
  },
});
const rounds = Number(values.rounds);
const seconds = Number(values.seconds);
const wanted = values.only?.split(',');

const dir = mkdtempSync(join(tmpdir(), 'warmpath-bench-'));
const envoy = await requireEnvoy();
const loadgen = buildTool('loadgen', dir);
const mock = buildTool('mockollama', dir);
const ended: (() => Promise<void> | void)[] = [() => rmSync(dir, { recursive: true, force: true })];

try {
  await main();
} finally {
  for (const end of ended.reverse()) await end();
}

async function main(): Promise<void> {
  const nodes = [await freePort(), await freePort()].map((port) => ({ host: '127.0.0.1', port }));
  for (const { port } of nodes) {
    await start(mock, ['-addr', `127.0.0.1:${port}`, '-models', MODEL, '-delay', '0'], port);
  }
  const slow = [await freePort(), await freePort()].map((port) => ({ host: '127.0.0.1', port }));
  for (const { port } of slow) {
    await start(mock, ['-addr', `127.0.0.1:${port}`, '-models', MODEL, '-delay', '20ms'], port);
  }
  for (const [fleet, streamed] of [
    [nodes, false],
    [slow, true],
  ] as const) {
    const scenarios = SCENARIOS.filter(
      (s) => s.args.includes('-stream') === streamed && (!wanted || wanted.includes(s.name)),
    );
    if (scenarios.length > 0) await compare(fleet, scenarios);
  }
}

async function compare(
  nodes: { host: string; port: number }[],
  scenarios: readonly Scenario[],
): Promise<void> {
  const barePort = await freePort();
  const bare = await start(
    envoy,
    [
      '-c',
      writeBareBootstrap(dir, barePort, nodes),
      '--concurrency',
      '1',
      '--disable-hot-restart',
      '-l',
      'error',
    ],
    barePort,
  );
  // The mock nodes answer any number of requests at once: nothing shall wait for a slot.
  const open = nodes.map(({ host, port }, i) => ({
    name: `n${i + 1}`,
    url: `http://${host}:${port}`,
    slots: 4_096,
  }));
  const ours = await startWarmpath({ nodes: [], config: { nodes: open, envoy: { concurrency: 1 } } });
  ended.push(() => ours.stop());
  const contenders = {
    bare: { url: `http://127.0.0.1:${barePort}`, envoy: bare.pid, node: undefined },
    warmpath: { url: ours.url, envoy: ours.pids.envoy, node: ours.pids.controlPlane },
  };
  for (const scenario of scenarios) {
    const samples: Record<keyof typeof contenders, Sample[]> = { bare: [], warmpath: [] };
    for (let round = 0; round < rounds; round += 1) {
      for (const name of round % 2 === 0
        ? (['bare', 'warmpath'] as const)
        : (['warmpath', 'bare'] as const)) {
        samples[name].push(await measure(scenario, contenders[name]));
      }
    }
    report(scenario, samples.bare, samples.warmpath);
  }
  process.stdout.write(`peak RSS: control plane ${peakRssMiB(ours.pids.controlPlane).toFixed(0)} MiB, `);
  process.stdout.write(`Envoy ${peakRssMiB(ours.pids.envoy).toFixed(0)} MiB\n\n`);
  await ours.stop();
}

async function measure(
  scenario: Scenario,
  target: { url: string; envoy: number; node: number | undefined },
): Promise<Sample> {
  const before = { envoy: cpuSeconds(target.envoy), node: target.node ? cpuSeconds(target.node) : 0 };
  const args = ['-url', target.url + scenario.path, '-model', MODEL, '-c', String(scenario.clients)];
  args.push('-body', String(scenario.bodyBytes), '-d', `${seconds}s`, ...scenario.args);
  const load = await runLoad(loadgen, args);
  const after = { envoy: cpuSeconds(target.envoy), node: target.node ? cpuSeconds(target.node) : 0 };
  const done = Math.max(1, load.ok + load.errors);
  return {
    load,
    envoyCpuMs: ((after.envoy - before.envoy) * 1000) / done,
    nodeCpuMs: ((after.node - before.node) * 1000) / done,
  };
}

function report(scenario: Scenario, bare: Sample[], ours: Sample[]): void {
  const shares = ours.map((sample, i) => sample.load.rps / (bare[i]?.load.rps ?? Number.NaN));
  const rps = (samples: Sample[]) => median(samples.map((s) => s.load.rps)).toFixed(0);
  const p = (samples: Sample[], at: 'p50' | 'p99') => median(samples.map((s) => s.load.ttfb[at]));
  const failed = (samples: Sample[]) => samples.reduce((sum, s) => sum + s.load.errors, 0);
  const lines = [
    `${scenario.name}: ${scenario.clients} client(s), ${scenario.bodyBytes} B, ${rounds} rounds of ${seconds} s`,
    `  requests/s        bare ${rps(bare)}   warmpath ${rps(ours)}   share ${spread(shares)}${scenario.target ? `   target ≥ ${scenario.target}` : ''}`,
    `  first byte, ms    bare p50 ${p(bare, 'p50').toFixed(2)} p99 ${p(bare, 'p99').toFixed(2)}   warmpath p50 ${p(ours, 'p50').toFixed(2)} p99 ${p(ours, 'p99').toFixed(2)}   added p50 ${(p(ours, 'p50') - p(bare, 'p50')).toFixed(2)}`,
    `  CPU ms/request    Envoy bare ${spread(
      bare.map((s) => s.envoyCpuMs),
      3,
    )}   Envoy ours ${spread(
      ours.map((s) => s.envoyCpuMs),
      3,
    )}   Node ${spread(
      ours.map((s) => s.nodeCpuMs),
      3,
    )}`,
    `  errors            bare ${failed(bare)}   warmpath ${failed(ours)} ${JSON.stringify(ours.at(-1)?.load.kinds ?? {})}`,
  ];
  if (scenario.args.includes('-stream')) {
    const tokens = (samples: Sample[]) => median(samples.map((s) => s.load.tokens_per_s ?? 0));
    const gap = (samples: Sample[]) => median(samples.map((s) => s.load.gap?.p99 ?? 0));
    lines.push(
      `  tokens/s          bare ${tokens(bare).toFixed(0)}   warmpath ${tokens(ours).toFixed(0)}   ratio ${(tokens(ours) / tokens(bare)).toFixed(3)}`,
      `  token gap p99, ms bare ${gap(bare).toFixed(1)}   warmpath ${gap(ours).toFixed(1)}   ratio ${(gap(ours) / gap(bare)).toFixed(3)}`,
    );
  }
  process.stdout.write(`${lines.join('\n')}\n\n`);
}

async function start(command: string, args: string[], port: number): Promise<{ pid: number }> {
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'ignore'] });
  ended.push(async () => {
    if (child.exitCode !== null) return;
    child.kill('SIGTERM');
    await once(child, 'exit');
  });
  for (let tries = 0; tries < 200; tries += 1) {
    const answered = await fetch(`http://127.0.0.1:${port}/`).then(
      () => true,
      () => false,
    );
    if (answered && child.pid !== undefined) return { pid: child.pid };
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${command} does not answer on port ${port}`);
}
