/**
 * npm run bench [-- --rounds N] [--seconds N] [--only NAME,…]
 *
 * Warmpath and bare Envoy over the same two mock nodes, in one run, rounds interleaved. Prints Warmpath's share of bare
 * Envoy's requests per second, added latency, and CPU per request of Envoy and of Node.
 */
import { parseArgs } from 'node:util';
import { peakRssMiB } from './lib/cpu.ts';
import {
  type BenchRig,
  type MockNode,
  runScenarios,
  type Sample,
  type Scenario,
  shareOfBare,
} from './lib/rig.ts';
import { median, spread } from './lib/stats.ts';

interface Measured extends Scenario {
  /** Share of bare Envoy's requests per second that we promise; undefined where another figure counts. */
  readonly target?: number;
}

const SCENARIOS: readonly Measured[] = [
  { name: '300B-c1', clients: 1, bodyBytes: 300 },
  { name: '32KiB-c1', clients: 1, bodyBytes: 32 << 10 },
  { name: '1MiB-c1', clients: 1, bodyBytes: 1 << 20 },
  { name: '300B-c32', clients: 32, bodyBytes: 300, target: 0.3 },
  { name: '32KiB-c16', clients: 16, bodyBytes: 32 << 10 },
  { name: '32KiB-c32', clients: 32, bodyBytes: 32 << 10 },
  { name: '220KB-c8', clients: 8, bodyBytes: 220_000, target: 0.45 },
  { name: '1MiB-c4', clients: 4, bodyBytes: 1 << 20, target: 0.55 },
  { name: '1MiB-c32', clients: 32, bodyBytes: 1 << 20 },
  { name: 'stream-c200', clients: 200, bodyBytes: 300, isStreamed: true },
];

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '4' },
    only: { type: 'string' },
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
  const ours = await rig.startWarmpath(nodes);
  const contenders = {
    bare: await rig.startBare(nodes),
    warmpath: { url: ours.url, envoy: ours.pids.envoy, picker: ours.pids.controlPlane },
  };
  for (const scenario of scenarios) {
    const { clients, bodyBytes, isStreamed } = scenario;
    const args = isStreamed ? ['-stream', '-tokens', '100'] : [];
    const load = { path: '/api/chat', clients, bodyBytes, seconds, args };
    const { bare, warmpath } = await rig.compare(contenders, load, rounds);
    report(scenario, bare, warmpath);
  }
  process.stdout.write(`peak RSS: control plane ${peakRssMiB(ours.pids.controlPlane).toFixed(0)} MiB, `);
  process.stdout.write(`Envoy ${peakRssMiB(ours.pids.envoy).toFixed(0)} MiB\n\n`);
  await ours.stop();
}

function report(scenario: Measured, bare: Sample[], ours: Sample[]): void {
  const shares = shareOfBare(bare, ours);
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
      ours.map((s) => s.pickerCpuMs),
      3,
    )}`,
    `  errors            bare ${failed(bare)}   warmpath ${failed(ours)} ${JSON.stringify(ours.at(-1)?.load.kinds ?? {})}`,
  ];
  if (scenario.isStreamed) {
    const tokens = (samples: Sample[]) => median(samples.map((s) => s.load.tokens_per_s ?? 0));
    const gap = (samples: Sample[]) => median(samples.map((s) => s.load.gap?.p99 ?? 0));
    lines.push(
      `  tokens/s          bare ${tokens(bare).toFixed(0)}   warmpath ${tokens(ours).toFixed(0)}   ratio ${(tokens(ours) / tokens(bare)).toFixed(3)}`,
      `  token gap p99, ms bare ${gap(bare).toFixed(1)}   warmpath ${gap(ours).toFixed(1)}   ratio ${(gap(ours) / gap(bare)).toFixed(3)}`,
    );
  }
  process.stdout.write(`${lines.join('\n')}\n\n`);
}
