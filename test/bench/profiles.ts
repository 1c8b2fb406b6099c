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
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { stringify } from 'yaml';
import nodeFlags from '../../src/supervisor/node-flags.json' with { type: 'json' };
import { freePort } from '../support/free-port.ts';
import { waitFor } from '../support/wait-for.ts';
import { peakRssMiB } from './lib/cpu.ts';
import { type PickerEnvoy, writePickerBootstrap } from './lib/picker-envoy.ts';
import {
  type BenchRig,
  type Contender,
  type MockNode,
  openNodes,
  runScenarios,
  type Sample,
  type Scenario,
  shareOfBare,
} from './lib/rig.ts';
import { median, spread } from './lib/stats.ts';

interface Measured extends Scenario {
  /** What must be beaten: shares of bare Envoy's requests per second, and CPU of the picker per request, ms. */
  readonly targets?: Partial<
    Record<ContenderName, { readonly share: number; readonly pickerCpuMs?: number }>
  >;
}

type ContenderName = 'bare' | 'own' | 'epp' | 'epp-buffered' | 'llm-d';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const PATH = '/v1/chat/completions';
const SCENARIOS: readonly Measured[] = [
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

await runScenarios(SCENARIOS, values.only, compare);

async function compare(
  rig: BenchRig,
  nodes: readonly MockNode[],
  scenarios: readonly Measured[],
): Promise<void> {
  const own = await rig.startWarmpath(nodes);
  const contenders: Partial<Record<ContenderName, Contender>> = {
    bare: await rig.startBare(nodes),
    own: { url: own.url, envoy: own.pids.envoy, picker: own.pids.controlPlane },
    epp: await startEpp(rig, nodes, 'duplex'),
    'epp-buffered': await startEpp(rig, nodes, 'buffered'),
    ...(values.llmd === undefined ? {} : { 'llm-d': await startLlmd(rig, values.llmd, nodes) }),
  };
  // Sound: those that are not there are left out above.
  const there = contenders as Record<ContenderName, Contender>;
  for (const scenario of scenarios) {
    const { clients, bodyBytes, isStreamed } = scenario;
    const args = isStreamed ? ['-stream', '-tokens', '100', '-ramp', '1s'] : [];
    const load = { path: PATH, clients, bodyBytes, seconds: lengthOf(scenario), args };
    report(scenario, await rig.compare(there, load, rounds));
  }
  for (const [name, { picker, envoy }] of Object.entries(there)) {
    const its = picker === undefined ? '' : `, picker ${peakRssMiB(picker).toFixed(0)} MiB`;
    process.stdout.write(`peak RSS, ${name}: Envoy ${peakRssMiB(envoy).toFixed(0)} MiB${its}\n`);
  }
  process.stdout.write('\n');
}

/** Of one round, seconds. */
function lengthOf({ isStreamed }: Measured): number {
  return isStreamed ? 3 * seconds : seconds;
}

function report(scenario: Measured, samples: Readonly<Record<ContenderName, readonly Sample[]>>): void {
  const { bare } = samples;
  const lines = [
    `${scenario.name}: ${scenario.clients} clients, ${scenario.bodyBytes} B, ${rounds} rounds of ${lengthOf(scenario)} s`,
    '  picker        requests/s  share of bare      added p50/p99 ms  CPU ms/request: Envoy    picker           errors',
  ];
  const p = (of: readonly Sample[], at: 'p50' | 'p99') => median(of.map(({ load }) => load.ttfb[at]));
  for (const [name, own] of Object.entries(samples)) {
    const share = shareOfBare(bare, own);
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
    const target = scenario.targets?.[name as ContenderName];
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

async function startEpp(
  rig: BenchRig,
  nodes: readonly MockNode[],
  bodies: PickerEnvoy['bodies'],
): Promise<Contender> {
  const [grpc, admin] = [await freePort(), await freePort()];
  const config = join(rig.dir, `epp-${grpc}.config.yaml`);
  writeFileSync(config, stringify({ nodes: openNodes(nodes) }));
  const places = ['--grpc', `127.0.0.1:${grpc}`, '--admin', `127.0.0.1:${admin}`];
  const state = ['--state-dir', join(rig.dir, `epp-${grpc}`), '--config', config, '--log-level', 'warn'];
  const picker = await rig.start(
    process.execPath,
    [...nodeFlags, MAIN, 'serve', '--profile', 'epp', ...places, ...state],
    grpc,
  );
  const isReady = () =>
    fetch(`http://127.0.0.1:${admin}/readyz`).then(
      ({ ok }) => ok,
      () => false,
    );
  await waitFor('the picker', isReady, { timeoutMs: 20_000 });
  return await behindEnvoy(rig, `epp-${bodies}`, { picker: grpc, nodes, bodies }, picker);
}

async function startLlmd(rig: BenchRig, binary: string, nodes: readonly MockNode[]): Promise<Contender> {
  const [grpc, health, metrics] = [await freePort(), await freePort(), await freePort()];
  const endpoints = join(rig.dir, `llmd-${grpc}.endpoints.yaml`);
  const list = nodes.map(({ host, port }, i) => ({ name: `n${i + 1}`, address: host, port: String(port) }));
  writeFileSync(endpoints, stringify({ endpoints: list }));
  const config = join(rig.dir, `llmd-${grpc}.config.yaml`);
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
  const picker = await rig.start(binary, args, grpc);
  return await behindEnvoy(rig, 'llm-d', { picker: grpc, nodes, bodies: 'duplex' }, picker);
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
  rig: BenchRig,
  name: string,
  options: Pick<PickerEnvoy, 'bodies' | 'nodes' | 'picker'>,
  picker: number,
): Promise<Contender> {
  const port = await freePort();
  const file = writePickerBootstrap(rig.dir, { name: `${name}-${port}`, port, ...options });
  return await rig.startEnvoy(file, port, picker);
}
