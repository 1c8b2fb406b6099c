/**
 * What several control planes cost each other, and a decision with a Redis beside it:
 * `node test/bench/replicas.ts [--replicas 1,2,3] [--nodes 10,100,1000] [--seconds N] [--rounds N] [--decisions]`
 *
 * Real `warmpath serve` processes, a real redis-server, simulated nodes; decisions are asked over ext_proc as Envoy asks
 * them. Without Envoy: its share is the same with and without Redis.
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { quantile } from '../support/figures.ts';
import { type RealRedis, redisServer, startRedis } from '../support/redis.ts';
import { type Replica, type Replicas, startReplicas } from '../support/replicas.ts';
import { pause, waitFor } from '../support/wait-for.ts';
import { cpuSeconds, rssMiB } from './lib/cpu.ts';
import { DecisionClient, type Decisions } from './lib/decisions.ts';
import { propagation } from './lib/propagation.ts';
import { median, spread } from './lib/stats.ts';
import { startVirtualFleet } from './lib/virtual-fleet.ts';

const MODELS = 20;
const MODEL = 'model-3:latest';
const HOLD_MS = 100;
const LOAD_PER_SECOND = 100;
/** As clients come, and as fast as it goes. */
const LOADS: readonly {
  readonly name: string;
  readonly run: (client: DecisionClient) => Promise<Decisions>;
}[] = [
  { name: '100 per second', run: (client) => client.steady(100, 2, HOLD_MS) },
  { name: '1 client, each at once after the last', run: (client) => client.closedLoop(1, 2) },
  { name: '16 clients, each at once after the last', run: (client) => client.closedLoop(16, 2) },
];

const { values } = parseArgs({
  options: {
    replicas: { type: 'string', default: '1,2,3' },
    nodes: { type: 'string', default: '10,100,1000' },
    seconds: { type: 'string', default: '5' },
    rounds: { type: 'string', default: '8' },
    /** Only what a decision costs. */
    decisions: { type: 'boolean', default: false },
  },
});
const seconds = Number(values.seconds);
const list = (text: string): number[] => text.split(',').filter(Boolean).map(Number);

const fleet = await startVirtualFleet(MODELS);
try {
  if (!values.decisions) {
    await sharing();
    await told();
  }
  await decisions();
} finally {
  fleet.close();
}
process.exit(0);

interface Usage {
  readonly at: number;
  readonly polls: number;
  readonly commands: number;
  readonly redisCpu: number;
  readonly cpu: readonly number[];
}

async function sharing(): Promise<void> {
  print(
    'replicas  nodes  interval | polls per node and interval | age of what is known, s: p50 p99 (of the worst replica) | ' +
      'calls of Redis per s, idle   per request | CPU of a replica, idle   under load   Redis | RSS MiB',
  );
  for (const nodes of list(values.nodes))
    for (const count of list(values.replicas)) {
      const redis = await startRedis(redisServer.path ?? '');
      try {
        print(await row(redis, count, nodes));
      } finally {
        await redis.stop();
      }
    }
}

async function row(redis: RealRedis, count: number, nodes: number): Promise<string> {
  const intervalMs = nodes >= 1_000 ? 2_000 : 1_000;
  const set = await start(nodes, count, redis, intervalMs);
  const clients = set.replicas.map(clientOf);
  try {
    await settled(set, nodes);
    const before = await usage(set, redis);
    await pause(seconds * 1_000);
    const [p50, p99] = await ages(set);
    const idle = await usage(set, redis);
    const perClient = LOAD_PER_SECOND / count;
    const asked = await Promise.all(clients.map((client) => client.steady(perClient, seconds, HOLD_MS)));
    const busy = await usage(set, redis);
    const requests = asked.reduce((sum, { waits }) => sum + waits.length, 0);

    const rate = (a: Usage, b: Usage, what: (usage: Usage) => number) =>
      ((what(b) - what(a)) * 1_000) / (b.at - a.at);
    const commands = ({ commands }: Usage): number => commands;
    const idleCommands = rate(before, idle, commands);
    const perRequest =
      (busy.commands - idle.commands - (idleCommands * (busy.at - idle.at)) / 1_000) / requests;
    const mean = ({ cpu }: Usage): number => cpu.reduce((sum, each) => sum + each, 0) / cpu.length;
    const polls = (rate(before, idle, (each) => each.polls) / nodes) * (intervalMs / 1_000);
    const rss = Math.max(...set.replicas.map(({ pid }) => rssMiB(pid)));
    return (
      `${count} ${nodes} ${intervalMs / 1_000} s | ${polls.toFixed(2)} | ${p50.toFixed(2)} ${p99.toFixed(2)} | ` +
      `${idleCommands.toFixed(1)}  ${perRequest.toFixed(2)} | ` +
      `${percent(rate(before, idle, mean))}  ${percent(rate(idle, busy, mean))}  ${percent(rate(idle, busy, (each) => each.redisCpu))} | ${rss.toFixed(0)}`
    );
  } finally {
    for (const client of clients) client.close();
    await set.close();
  }
}

/** Leases that one control plane takes, until another counts them. */
async function told(): Promise<void> {
  const redis = await startRedis(redisServer.path ?? '');
  try {
    for (const [count, intervalMs] of [
      [200, 20],
      [500, 1],
    ] as const) {
      const took = await propagation(redis.url, count, intervalMs);
      print(
        `a lease is counted by another replica after ms: p50 ${quantile(took, 0.5).toFixed(2)} p99 ${quantile(took, 0.99).toFixed(2)} max ${Math.max(...took).toFixed(2)} (${count} leases, ${intervalMs} ms apart)`,
      );
    }
  } finally {
    await redis.stop();
  }
}

/** The same control plane without a store and with one (and with another replica that listens), rounds interleaved. */
async function decisions(): Promise<void> {
  const nodes = 100;
  const redis = await startRedis(redisServer.path ?? '');
  // The same as the one beside it in everything but the store: both run all the time.
  const [alone, shared] = [await start(nodes, 1, undefined, 5_000), await start(nodes, 2, redis, 5_000)];
  const contenders = { memory: alone.replica(0), redis: shared.replica(0) };
  const clients = { memory: clientOf(contenders.memory), redis: clientOf(contenders.redis) };
  const names = ['memory', 'redis'] as const;
  try {
    await settled(shared, nodes);
    await Promise.all(names.map((name) => clients[name].closedLoop(8, 2)));
    for (const { name: load, run } of LOADS) {
      const rounds: Record<(typeof names)[number], (Decisions & { readonly cpuMs: number })[]> = {
        memory: [],
        redis: [],
      };
      for (let round = 0; round < Number(values.rounds); round += 1)
        for (const name of round % 2 === 0 ? names : names.toReversed()) {
          const { pid } = contenders[name];
          const from = cpuSeconds(pid);
          const result = await run(clients[name]);
          const cpuMs = ((cpuSeconds(pid) - from) * 1_000) / result.waits.length;
          rounds[name].push({ ...result, cpuMs });
        }
      print(`\ndecisions, ${load}, ${nodes} nodes, ${values.rounds} rounds of 2 s:`);
      for (const name of names) {
        const each = rounds[name];
        const at = (share: number) => spread(each.map(({ waits }) => quantile(waits, share)));
        print(
          `  ${name.padEnd(7)} p50 ms ${at(0.5)}   p99 ms ${at(0.99)}   per second ${spread(
            each.map(({ perSecond }) => perSecond),
            0,
          )}   CPU ms ${spread(
            each.map(({ cpuMs }) => cpuMs),
            3,
          )}`,
        );
      }
      const ratio = (what: (result: Decisions & { readonly cpuMs: number }) => number): string =>
        median(rounds.redis.map((each, i) => what(each) / what(rounds.memory[i] ?? each))).toFixed(3);
      print(
        `  redis/memory  p50 ${ratio(({ waits }) => quantile(waits, 0.5))}   p99 ${ratio(({ waits }) => quantile(waits, 0.99))}   per second ${ratio(({ perSecond }) => perSecond)}   CPU ${ratio(({ cpuMs }) => cpuMs)}`,
      );
    }
  } finally {
    for (const name of names) clients[name].close();
    await alone.close();
    await shared.close();
    await redis.stop();
  }
}

function start(
  nodes: number,
  count: number,
  redis: RealRedis | undefined,
  intervalMs: number,
): Promise<Replicas> {
  return startReplicas({
    nodes: fleet.nodes(nodes),
    redis: redis?.url,
    count,
    // Control planes decide only for an Envoy that has its nodes from one of them.
    envoys: 1,
    config: {
      poll: { interval: `${intervalMs}ms`, tagsInterval: '10s', versionInterval: '10m', timeout: '5s' },
    },
  });
}

function clientOf(replica: Replica): DecisionClient {
  return new DecisionClient(join(replica.stateDir, 'grpc.sock'), MODEL);
}

/** All nodes are known to each, and shared out about evenly. */
async function settled(set: Replicas, nodes: number): Promise<void> {
  await waitFor(
    'all nodes to be known and shared out',
    async () => {
      const reports = await Promise.all(set.replicas.map((replica) => replica.status()));
      const isKnown = reports.every((report) =>
        report.nodes.every(
          ({ status, models, poller }) => status === 'ready' && models.length > 0 && poller !== null,
        ),
      );
      const most = Math.max(
        ...reports.map(({ replica, nodes: all }) => all.filter(({ poller }) => poller === replica).length),
      );
      return isKnown && most <= Math.ceil((nodes / set.replicas.length) * 1.2) + 1;
    },
    { timeoutMs: 60_000, intervalMs: 500 },
  );
  await pause(2_000);
}

/** How old what is known of the nodes' memory is, on the replica where it is oldest: p50 and p99, s. */
async function ages(set: Replicas): Promise<[number, number]> {
  const all = await Promise.all(
    set.replicas.map(async (replica) =>
      (await replica.status()).nodes.map(({ pollAgeMs }) => (pollAgeMs ?? Number.POSITIVE_INFINITY) / 1_000),
    ),
  );
  const worst = (share: number) => Math.max(...all.map((each) => quantile(each, share)));
  return [worst(0.5), worst(0.99)];
}

async function usage(set: Replicas, redis: RealRedis): Promise<Usage> {
  const [polls, cpu, ...commands] = await Promise.all([
    fleet.polls(),
    redis.send('INFO', 'cpu'),
    ...set.replicas.map((replica) => replica.metric('warmpath_store_commands_total')),
  ]);
  const redisCpu = [...cpu.matchAll(/used_cpu_(?:user|sys):([\d.]+)/g)].reduce(
    (sum, [, value]) => sum + Number(value),
    0,
  );
  return {
    at: performance.now(),
    polls,
    commands: commands.reduce((sum, each) => sum + each, 0),
    redisCpu,
    cpu: set.replicas.map(({ pid }) => cpuSeconds(pid)),
  };
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
