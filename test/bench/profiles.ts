/**
 * node test/bench/profiles.ts [--rounds N] [--seconds N] [--only NAME,…] [--llmd BINARY]
 *
 * Endpoint pickers side by side in one run, behind Envoys of the same bare configuration and over the same mock nodes: none,
 * Warmpath as its own Envoy has it (`own`), in full-duplex mode as Istio wires a picker (`epp`), with buffered requests as our
 * recipes for other gateways have it (`epp-buffered`), and llm-d's EPP in full-duplex mode (file discovery, pass-through parser,
 * random picker), where its binary is given. Prints the share of bare Envoy's requests per second, added latency, and CPU per
 * request of Envoy and of the picker.
 *
 * llm-d's EPP listens on every interface: run it in a network namespace of its own (`unshare -n`, with `ip link set lo up`).
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { stringify } from 'yaml';
import nodeFlags from '../../src/supervisor/node-flags.json' with { type: 'json' };
import { requireEnvoy } from '../support/envoy.ts';
import { freePort } from '../support/free-port.ts';
import { startWarmpath } from '../support/warmpath.ts';
import { writeBareBootstrap } from './lib/bare-envoy.ts';
import { cpuSeconds, peakRssMiB } from './lib/cpu.ts';
import { type PickerEnvoy, writePickerBootstrap } from './lib/picker-envoy.ts';
import { median, spread } from './lib/stats.ts';
import { buildTool, type LoadResult, runLoad } from './lib/tools.ts';

interface Scenario {
  readonly name: string;
  readonly clients: number;
  readonly bodyBytes: number;
  readonly isStreamed?: true;
  /** What must be beaten: shares of bare Envoy's requests per second, and CPU of the picker per request, ms. */
  readonly targets?: Partial<
    Record<ContenderName, { readonly share: number; readonly pickerCpuMs?: number }>
  >;
}

type ContenderName = 'bare' | 'own' | 'epp' | 'epp-buffered' | 'llm-d';

interface Contender {
  readonly name: ContenderName;
  readonly url: string;
  readonly envoy: number;
  readonly picker: number | undefined;
}

interface Sample {
  readonly load: LoadResult;
  /** CPU milliseconds per request. */
  readonly envoyCpuMs: number;
  readonly pickerCpuMs: number;
}

interface Node {
  readonly host: string;
  readonly port: number;
}

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const MODEL = 'llama3.2:1b';
const PATH = '/v1/chat/completions';
const SCENARIOS: readonly Scenario[] = [
  { name: '300B-c32', clients: 32, bodyBytes: 300, targets: { epp: { share: 0.33, pickerCpuMs: 0.33 } } },
  { name: '32KiB-c16', clients: 16, bodyBytes: 32 << 10 },
  {
    name: '220KB-c8',
    clients: 8,
    bodyBytes: 220_000,
    targets: { epp: { share: 0.15, pickerCpuMs: 1.33 }, own: { share: 0.3 } },
  },
  { name: '1MiB-c4', clients: 4, bodyBytes: 1 << 20 },
  { name: 'held-c2000', clients: 2_000, bodyBytes: 300, isStreamed: true },
];

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '3' },
    only: { type: 'string' },
    llmd: { type: 'string' },
  },
});
const rounds = Number(values.rounds);
const seconds = Number(values.seconds);
const wanted = values.only?.split(',');

const dir = mkdtempSync(join(tmpdir(), 'warmpath-profiles-'));
const envoy = await requireEnvoy();
const loadgen = buildTool('loadgen', dir);
const mock = buildTool('mockollama', dir);
const ended: (() => Promise<void> | void)[] = [() => rmSync(dir, { recursive: true, force: true })];

try {
  const scenarios = SCENARIOS.filter(({ name }) => wanted === undefined || wanted.includes(name));
  const quick = scenarios.filter(({ isStreamed }) => isStreamed !== true);
  const held = scenarios.filter(({ isStreamed }) => isStreamed === true);
  if (quick.length > 0) await compare(await startNodes('0'), quick);
  // 100 tokens, one each 20 ms: every stream is open for two seconds.
  if (held.length > 0) await compare(await startNodes('20ms'), held);
} finally {
  for (const end of ended.reverse()) await end();
}

async function compare(nodes: readonly Node[], scenarios: readonly Scenario[]): Promise<void> {
  const contenders = [await startBare(nodes), await startOwn(nodes), await startEpp(nodes, 'duplex')];
  contenders.push(await startEpp(nodes, 'buffered'));
  if (values.llmd !== undefined) contenders.push(await startLlmd(values.llmd, nodes));
  for (const scenario of scenarios) {
    const samples = new Map<Contender, Sample[]>(contenders.map((each) => [each, []]));
    // Not counted: code is compiled and connections are opened.
    for (const each of contenders) await measure(scenario, each);
    for (let round = 0; round < rounds; round += 1) {
      // Another one first each time: what the machine does meanwhile must not hit always the same.
      const order = contenders.map((_, i) => contenders[(i + round) % contenders.length]);
      for (const each of order)
        if (each !== undefined) samples.get(each)?.push(await measure(scenario, each));
    }
    report(scenario, samples);
  }
  for (const { name, picker, envoy: pid } of contenders) {
    const own = picker === undefined ? '' : `, picker ${peakRssMiB(picker).toFixed(0)} MiB`;
    process.stdout.write(`peak RSS, ${name}: Envoy ${peakRssMiB(pid).toFixed(0)} MiB${own}\n`);
  }
  process.stdout.write('\n');
}

async function measure(scenario: Scenario, contender: Contender): Promise<Sample> {
  const cpu = () => ({
    envoy: cpuSeconds(contender.envoy),
    picker: contender.picker === undefined ? 0 : cpuSeconds(contender.picker),
  });
  const args = ['-url', contender.url + PATH, '-model', MODEL, '-c', String(scenario.clients)];
  args.push('-body', String(scenario.bodyBytes), '-d', `${scenario.isStreamed ? 3 * seconds : seconds}s`);
  if (scenario.isStreamed) args.push('-stream', '-tokens', '100', '-ramp', '1s');
  const before = cpu();
  const load = await runLoad(loadgen, args);
  const after = cpu();
  const done = Math.max(1, load.ok + load.errors);
  return {
    load,
    envoyCpuMs: ((after.envoy - before.envoy) * 1000) / done,
    pickerCpuMs: ((after.picker - before.picker) * 1000) / done,
  };
}

function report(scenario: Scenario, samples: ReadonlyMap<Contender, readonly Sample[]>): void {
  const [[, bare = []] = []] = samples;
  const length = scenario.isStreamed ? 3 * seconds : seconds;
  const lines = [
    `${scenario.name}: ${scenario.clients} clients, ${scenario.bodyBytes} B, ${rounds} rounds of ${length} s`,
    '  picker        requests/s  share of bare      added p50/p99 ms  CPU ms/request: Envoy    picker           errors',
  ];
  const p = (of: readonly Sample[], at: 'p50' | 'p99') => median(of.map(({ load }) => load.ttfb[at]));
  for (const [{ name }, own] of samples) {
    const share = own.map(({ load }, i) => load.rps / (bare[i]?.load.rps ?? Number.NaN));
    const errors = own.reduce((sum, { load }) => sum + load.errors, 0);
    const added = `${(p(own, 'p50') - p(bare, 'p50')).toFixed(2)} / ${(p(own, 'p99') - p(bare, 'p99')).toFixed(2)}`;
    const cells = [
      name.padEnd(12),
      median(own.map(({ load }) => load.rps))
        .toFixed(0)
        .padStart(10),
      spread(share).padEnd(17),
      added.padEnd(16),
      spread(
        own.map(({ envoyCpuMs }) => envoyCpuMs),
        3,
      ).padEnd(23),
      spread(
        own.map(({ pickerCpuMs }) => pickerCpuMs),
        3,
      ),
      `  ${errors}${errors === 0 ? '' : ` ${JSON.stringify(own.at(-1)?.load.kinds)}`}`,
    ];
    lines.push(`  ${cells.join('  ')}`);
    const target = scenario.targets?.[name];
    if (target === undefined) continue;
    lines.push(
      `          target: share ≥ ${target.share}: ${median(share) >= target.share ? 'met' : 'MISSED'}`,
    );
    const cpu = target.pickerCpuMs;
    if (cpu === undefined) continue;
    const spent = median(own.map(({ pickerCpuMs }) => pickerCpuMs));
    lines.push(`          target: picker CPU < ${cpu} ms: ${spent < cpu ? 'met' : 'MISSED'}`);
  }
  process.stdout.write(`${lines.join('\n')}\n\n`);
}

async function startNodes(delay: string): Promise<readonly Node[]> {
  const nodes = [await freePort(), await freePort()].map((port) => ({ host: '127.0.0.1', port }));
  for (const { port } of nodes)
    await start(mock, ['-addr', `127.0.0.1:${port}`, '-models', MODEL, '-delay', delay], port);
  return nodes;
}

async function startBare(nodes: readonly Node[]): Promise<Contender> {
  const port = await freePort();
  const pid = await startEnvoy(writeBareBootstrap(dir, port, nodes), port);
  return { name: 'bare', url: `http://127.0.0.1:${port}`, envoy: pid, picker: undefined };
}

async function startOwn(nodes: readonly Node[]): Promise<Contender> {
  const warmpath = await startWarmpath({
    nodes: [],
    config: { nodes: specs(nodes), envoy: { concurrency: 1 } },
  });
  ended.push(() => warmpath.stop());
  return { name: 'own', url: warmpath.url, envoy: warmpath.pids.envoy, picker: warmpath.pids.controlPlane };
}

async function startEpp(nodes: readonly Node[], bodies: PickerEnvoy['bodies']): Promise<Contender> {
  const [grpc, admin] = [await freePort(), await freePort()];
  const config = join(dir, `epp-${grpc}.config.yaml`);
  writeFileSync(config, stringify({ nodes: specs(nodes) }));
  const places = ['--grpc', `127.0.0.1:${grpc}`, '--admin', `127.0.0.1:${admin}`];
  const state = ['--state-dir', join(dir, `epp-${grpc}`), '--config', config, '--log-level', 'warn'];
  const picker = await start(
    process.execPath,
    [...nodeFlags, MAIN, 'serve', '--profile', 'epp', ...places, ...state],
    grpc,
  );
  await ready(`http://127.0.0.1:${admin}/readyz`);
  return await behindEnvoy(bodies === 'duplex' ? 'epp' : 'epp-buffered', grpc, picker, nodes, bodies);
}

async function startLlmd(binary: string, nodes: readonly Node[]): Promise<Contender> {
  const [grpc, health, metrics] = [await freePort(), await freePort(), await freePort()];
  const endpoints = join(dir, `llmd-${grpc}.endpoints.yaml`);
  const list = nodes.map(({ host, port }, i) => ({ name: `n${i + 1}`, address: host, port: String(port) }));
  writeFileSync(endpoints, stringify({ endpoints: list }));
  const config = join(dir, `llmd-${grpc}.config.yaml`);
  writeFileSync(config, stringify(llmdConfig(endpoints)));
  const flags = {
    'pool-name': 'bench',
    'pool-namespace': 'bench',
    'config-file': config,
    'grpc-port': grpc,
    'grpc-health-port': health,
    'metrics-port': metrics,
    'secure-serving': false,
    tracing: false,
    'enable-pprof': false,
    'metrics-endpoint-auth': false,
    v: 0,
  };
  const args = Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
  return await behindEnvoy('llm-d', grpc, await start(binary, args, grpc), nodes, 'duplex');
}

/** The leanest that it can be: no body is parsed, no load is weighed. */
function llmdConfig(endpoints: string): object {
  return {
    apiVersion: 'llm-d.ai/v1alpha1',
    kind: 'EndpointPickerConfig',
    plugins: [
      { name: 'files', type: 'file-discovery', parameters: { path: endpoints, watchFile: false } },
      { type: 'passthrough-parser' },
      { type: 'random-picker' },
      { type: 'single-profile-handler' },
    ],
    schedulingProfiles: [{ name: 'default', plugins: [{ pluginRef: 'random-picker' }] }],
    requestHandler: { parsers: [{ pluginRef: 'passthrough-parser' }] },
    dataLayer: { discovery: { pluginRef: 'files' } },
  };
}

async function behindEnvoy(
  name: ContenderName,
  grpc: number,
  picker: number,
  nodes: readonly Node[],
  bodies: PickerEnvoy['bodies'],
): Promise<Contender> {
  const port = await freePort();
  const file = writePickerBootstrap(dir, { name: `${name}-${port}`, port, nodes, picker: grpc, bodies });
  return { name, url: `http://127.0.0.1:${port}`, envoy: await startEnvoy(file, port), picker };
}

/** The mock nodes answer any number of requests at once: nothing shall wait for a slot. */
function specs(nodes: readonly Node[]) {
  return nodes.map(({ host, port }, i) => ({
    name: `n${i + 1}`,
    url: `http://${host}:${port}`,
    slots: 4_096,
  }));
}

function startEnvoy(file: string, port: number): Promise<number> {
  return start(envoy, ['-c', file, '--concurrency', '1', '--disable-hot-restart', '-l', 'error'], port);
}

/** Its process id, once it listens. */
async function start(command: string, args: readonly string[], port: number): Promise<number> {
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'ignore'] });
  ended.push(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
  for (let tries = 0; tries < 400; tries += 1) {
    if (child.exitCode !== null) throw new Error(`${command} ended with ${child.exitCode}`);
    if (child.pid !== undefined && (await listens(port))) return child.pid;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${command} does not listen on port ${port}`);
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

async function ready(url: string): Promise<void> {
  for (let tries = 0; tries < 400; tries += 1) {
    const answer = await fetch(url).catch(() => undefined);
    if (answer?.ok === true) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${url} never said that it is ready`);
}
