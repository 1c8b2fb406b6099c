/**
 * What a large fleet costs the control plane: `node test/bench/scale.ts [--nodes 10000] [--interval 10000] [--seconds 30]`.
 * Polls so many virtual nodes with 50 models each over real sockets, decides 200 times a second meanwhile, scrapes the
 * metrics and reads the status, and prints decisions, rebuilds, event loop delay, memory and CPU.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { statusText } from '../../src/api/status-report.ts';
import { Alarms } from '../../src/app/alarms.ts';
import { Fleet } from '../../src/app/fleet.ts';
import { SystemClock } from '../../src/app/system-clock.ts';
import { EndpointFeed } from '../../src/control-plane/endpoint-feed.ts';
import { AssignmentEncoder } from '../../src/envoy/endpoints/encode-assignment.ts';
import { EndpointPublisher } from '../../src/envoy/endpoints/publisher.ts';
import { ModelDemand } from '../../src/fleet/demand.ts';
import { LeaseLedger } from '../../src/fleet/ledger.ts';
import { DEFAULT_HEALTH } from '../../src/fleet/params.ts';
import type { NodeSpec } from '../../src/fleet/types.ts';
import { FleetWatcher } from '../../src/nodes/watch-fleet.ts';
import { rank } from '../../src/routing/rank.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { MemoryLog } from '../support/memory-log.ts';
import { aSource } from '../unit/api/fake-source.ts';
import { request, situation } from '../unit/routing/builders.ts';

const MODELS = 50;
const { values } = parseArgs({
  options: {
    nodes: { type: 'string', default: '10000' },
    interval: { type: 'string', default: '10000' },
    seconds: { type: 'string', default: '30' },
  },
});
const size = Number(values.nodes);
const intervalMs = Number(values.interval);
const rows: [string, string][] = [];

const child = spawn(
  process.execPath,
  [new URL('lib/virtual-nodes.ts', import.meta.url).pathname, `${MODELS}`],
  {
    stdio: ['pipe', 'pipe', 'inherit'],
  },
);
const [line] = (await once(child.stdout, 'data')) as [Buffer];
try {
  await measure(Number(line.toString()));
} finally {
  child.stdin.end();
}
for (const [what, figure] of rows) process.stdout.write(`${what.padEnd(44)} ${figure}\n`);
process.exit(0);

function spec(index: number, port: number): NodeSpec {
  const host = `127.${1 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`;
  return {
    id: `node-${index}`,
    url: { scheme: 'http', host, port },
    token: undefined,
    tlsCaFile: undefined,
    slots: 4,
    vramBytes: 24 * 1024 ** 3,
    labels: {},
    weight: 1,
    drain: false,
  };
}

async function measure(port: number): Promise<void> {
  const clock = new SystemClock();
  const log = new MemoryLog();
  const baseMiB = process.memoryUsage().rss / 2 ** 20;
  const specs = Array.from({ length: size }, (_, i) => spec(i, port));
  const fleet = new Fleet(specs, DEFAULT_HEALTH, clock);
  const metrics = createMetrics({
    version: 'bench',
    envoyVersion: () => undefined,
    paths: ['/api/chat'],
    droppedLogLines: () => 0,
  });
  const ledger = new LeaseLedger();
  metrics.watch({
    now: () => clock.now(),
    snapshot: () => fleet.snapshot(),
    inflight: () => ledger.counts(),
    openLeases: () => ledger.size,
    replicas: () => 1,
  });
  const publisher = new EndpointPublisher({ telemetry: metrics, log });
  const feed = new EndpointFeed(fleet, publisher, new Alarms(clock, log), clock);
  feed.start();
  let observations = 0;
  const watcher = new FleetWatcher({
    clock,
    random: Math.random,
    poll: {
      interval: intervalMs,
      tagsInterval: 60_000,
      versionInterval: 600_000,
      timeout: 5_000,
      connectTimeout: 2_000,
      jitter: 0.1,
      maxBodyBytes: 4 * 2 ** 20,
    },
    localIps: [],
    onObservation: (id, observation) => {
      observations += 1;
      fleet.observe(id, observation);
    },
  });
  const cold = monitorEventLoopDelay({ resolution: 1 });
  cold.enable();
  watcher.update(specs);
  const isKnown = () => [...fleet.nodes.values()].filter(({ seenAt }) => seenAt.tags !== undefined).length;
  const began = clock.now();
  while (isKnown() < size && clock.now() - began < 120_000) await sleep(250);
  feed.settled();
  cold.disable();
  rows.push([
    'nodes known / asked',
    `${isKnown()} / ${size} after ${((clock.now() - began) / 1000).toFixed(1)} s`,
  ]);
  rows.push(['loop delay while they come, p99.9 / max', delays(cold)]);

  const steady = monitorEventLoopDelay({ resolution: 1 });
  steady.enable();
  observations = 0;
  const cpu = process.cpuUsage();
  const from = clock.now();
  const picks: number[] = [];
  const rebuilds: number[] = [];
  const demand = new ModelDemand();
  let round = 0;
  while (clock.now() - from < Number(values.seconds) * 1000) {
    await sleep(5);
    const before = performance.now();
    const snapshot = fleet.snapshot();
    const built = performance.now();
    const key = `model-${round % MODELS}:latest`;
    const model = { raw: key, key };
    const ranking = rank(
      request({ model }),
      situation(snapshot, { inflight: ledger, demand, random: Math.random, now: clock.now() }),
    );
    demand.note(key, clock.now());
    picks.push(performance.now() - built);
    rebuilds.push(built - before);
    const lease = `lease-${round % 5_000}`;
    if (ranking.nodes[0] !== undefined) ledger.take(lease, ranking.nodes[0].id, key, built);
    round += 1;
  }
  steady.disable();
  const seconds = (clock.now() - from) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  rows.push(['observations per second', (observations / seconds).toFixed(0)]);
  rows.push(['CPU of one core', `${(((user + system) / 1e6 / seconds) * 100).toFixed(0)} %`]);
  rows.push(['pick p50 / p99 / max', quantiles(picks)]);
  rows.push(['snapshot p50 / p99 / max', quantiles(rebuilds)]);
  rows.push(['loop delay, p99.9 / max', delays(steady)]);
  globalThis.gc?.();
  const rssMiB = process.memoryUsage().rss / 2 ** 20;
  rows.push([
    'RSS',
    `${rssMiB.toFixed(0)} MiB, ${(((rssMiB - baseMiB) * 1024) / size).toFixed(1)} KiB per node`,
  ]);

  await withDelays('metrics', async () => {
    const text = await metrics.render();
    return `${(text.length / 2 ** 20).toFixed(1)} MiB`;
  });
  await withDelays('status', async () => {
    const source = aSource([...fleet.nodes.values()], {
      snapshot: () => fleet.snapshot(),
      now: () => clock.now(),
      inflight: () => ledger,
    });
    let length = 0;
    for await (const part of statusText(source, '')) length += part.length;
    return `${(length / 2 ** 20).toFixed(1)} MiB`;
  });
  const encoder = new AssignmentEncoder();
  const set = publisher.published ?? { endpoints: [] };
  await withDelays('endpoints, first encoding', async () => {
    await encoder.prepare(set);
    return `${(encoder.encode(set).length / 2 ** 20).toFixed(1)} MiB`;
  });
  await withDelays('endpoints, one changed: plan and encoding', async () => {
    fleet.observe('node-1', { kind: 'address', address: '127.200.0.1:1', hosts: [] });
    const started = performance.now();
    feed.publish();
    const planned = performance.now() - started;
    encoder.encode(publisher.published ?? set);
    return `plan ${planned.toFixed(1)} ms, all ${(performance.now() - started).toFixed(1)} ms`;
  });
  metrics.close();
}

async function withDelays(what: string, run: () => Promise<string>): Promise<void> {
  const loop = monitorEventLoopDelay({ resolution: 1 });
  loop.enable();
  await sleep(20);
  const started = performance.now();
  const result = await run();
  const ms = performance.now() - started;
  await sleep(20);
  loop.disable();
  rows.push([what, `${ms.toFixed(0)} ms, ${result}, loop delay max ${(loop.max / 1e6).toFixed(1)} ms`]);
}

function quantiles(times: number[]): string {
  const sorted = times.sort((a, b) => a - b);
  const at = (share: number) =>
    (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0).toFixed(2);
  return `${at(0.5)} / ${at(0.99)} / ${at(1)} ms`;
}

function delays(loop: { percentile(p: number): number; readonly max: number }): string {
  return `${(loop.percentile(99.9) / 1e6).toFixed(1)} / ${(loop.max / 1e6).toFixed(1)} ms`;
}
