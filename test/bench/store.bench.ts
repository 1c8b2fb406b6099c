/**
 * What sharing leases through Redis costs: `node test/bench/store.bench.ts [-- --seconds N]`.
 * One replica takes and releases leases at a steady rate, two others listen; once with PUBLISH inside the script, as
 * the store does it, once with XADD to a stream that the others read with XREAD BLOCK. Real redis-server on loopback.
 */
import { parseArgs } from 'node:util';
import { Redis } from 'ioredis';
import { methodOf, runScript } from '../../src/store/redis/client.ts';
import { CHANGE_LEASES } from '../../src/store/redis/scripts/leases.ts';
import type { Script } from '../../src/store/redis/scripts/lua.ts';
import { type RealRedis, redisServer, startRedis } from '../support/redis.ts';
import { openRedisStore } from '../support/redis-store.ts';

const { values } = parseArgs({ options: { seconds: { type: 'string', default: '5' } } });
const SECONDS = Number(values.seconds);
const CHANNEL = 'warmpath:to-all';
const STREAM = 'warmpath:stream';
const BY_STREAM: Script = {
  ...CHANGE_LEASES,
  name: 'changeLeasesByStream',
  lua: CHANGE_LEASES.lua.replace(
    "redis.call('PUBLISH', channel, ",
    `redis.call('XADD', '${STREAM}', 'MAXLEN', '~', '10000', '*', 'm', `,
  ),
};

if (redisServer.path === undefined) throw new Error(redisServer.missing);
const redis = await startRedis(redisServer.path);
try {
  process.stdout.write(
    'way        req/s batch   told after ms: p50    p99    calls/req  Redis µs/req  Node µs/req\n',
  );
  for (const [requestsPerSecond, batch] of [
    [100, 1],
    [500, 1],
    [2_000, 1],
    [2_000, 20],
  ] as const) {
    await measure('pub/sub', CHANGE_LEASES, requestsPerSecond, batch, listenByChannel);
    await measure('streams', BY_STREAM, requestsPerSecond, batch, listenByStream);
  }
  await costPerBatch();
  await memoryPerThousandNodes();
} finally {
  await redis.stop();
}

type Listen = (heard: (text: string) => void) => Promise<() => void>;

async function measure(
  way: string,
  script: Script,
  requestsPerSecond: number,
  batch: number,
  listen: Listen,
): Promise<void> {
  await redis.send('FLUSHALL');
  const client = connect();
  client.defineCommand(methodOf(script.name), { lua: script.lua, numberOfKeys: 3 });
  const sentAt = new Map<string, number>();
  const delays: number[] = [];
  const heard = (text: string): void => {
    const node = /\["(n\d+)",/.exec(text)?.[1] ?? '';
    const at = sentAt.get(node);
    if (at !== undefined) delays.push(performance.now() - at);
  };
  const stops = [await listen(heard), await listen(heard)];
  const keys = ['info', 'leases', 'counts'].map((name) => `warmpath:{r:a}:${name}`);
  let sequence = 0;
  const send = (args: readonly string[]) =>
    runScript(client, script, keys, ['writer', ++sequence, 60_000, CHANNEL, '"a"', ...args]);
  await send(['warm', '["n0","m"]']);
  const before = await costs();
  const cpuBefore = process.cpuUsage();
  const startedAt = performance.now();
  let requests = 0;
  const calls: Promise<unknown>[] = [];
  const intervalMs = Math.max(1, (1_000 * batch) / requestsPerSecond);
  while (performance.now() - startedAt < SECONDS * 1_000) {
    const due = Math.floor(((performance.now() - startedAt) / 1_000) * requestsPerSecond);
    while (requests + batch <= due) {
      // A node of its own for each batch, so that the listener knows which one it hears of.
      const node = `n${requests + 1}`;
      const ids = Array.from({ length: batch }, (_, i) => `a-${requests + i}`);
      requests += batch;
      sentAt.set(node, performance.now());
      calls.push(send(ids.flatMap((id) => [id, `["${node}","m"]`])));
      calls.push(send(ids.flatMap((id) => [id, ''])));
    }
    await new Promise((resolve) => setTimeout(resolve, intervalMs));
  }
  await Promise.all(calls);
  await new Promise((resolve) => setTimeout(resolve, 100));
  const after = await costs();
  const cpu = process.cpuUsage(cpuBefore);
  for (const stop of stops) stop();
  client.disconnect();
  delays.sort((a, b) => a - b);
  const at = (share: number) => (delays[Math.floor(delays.length * share)] ?? Number.NaN).toFixed(2);
  const each = (total: number) => (total / requests).toFixed(1);
  process.stdout.write(
    `${way.padEnd(10)} ${String(requestsPerSecond).padStart(5)} ${String(batch).padStart(5)}` +
      `${at(0.5).padStart(21)} ${at(0.99).padStart(6)} ${((after.calls - before.calls) / requests).toFixed(2).padStart(12)}` +
      ` ${each(after.cpuUs - before.cpuUs).padStart(13)} ${each(cpu.user + cpu.system).padStart(12)}\n`,
  );
}

async function listenByChannel(heard: (text: string) => void): Promise<() => void> {
  const client = connect();
  client.on('message', (_channel, text) => heard(text));
  await client.subscribe(CHANNEL);
  return () => client.disconnect();
}

async function listenByStream(heard: (text: string) => void): Promise<() => void> {
  const client = connect();
  let isOver = false;
  let last = '$';
  void (async () => {
    while (!isOver) {
      const reply = await client
        .xread('COUNT', 1_000, 'BLOCK', 1_000, 'STREAMS', STREAM, last)
        .catch(() => null);
      for (const [, entries] of reply ?? [])
        for (const [id, fields] of entries) {
          last = id;
          heard(fields[1] ?? '');
        }
      // The first read has to have an id to go on from; until then only what comes while it waits is seen.
    }
  })();
  await new Promise((resolve) => setTimeout(resolve, 50));
  return () => {
    isOver = true;
    client.disconnect();
  };
}

/** Calls from clients (commands that scripts run are not counted by the server as calls of a client), and CPU time. */
async function costs(): Promise<{ calls: number; cpuUs: number }> {
  const [stats, cpu] = await Promise.all([redis.send('INFO', 'commandstats'), redis.send('INFO', 'cpu')]);
  const calls = [...stats.matchAll(/cmdstat_(evalsha|eval|xread):calls=(\d+)/g)];
  const seconds = [...cpu.matchAll(/used_cpu_(?:user|sys):([\d.]+)/g)];
  return {
    calls: calls.reduce((sum, [, , count]) => sum + Number(count), 0),
    cpuUs: seconds.reduce((sum, [, value]) => sum + Number(value), 0) * 1e6,
  };
}

async function costPerBatch(): Promise<void> {
  const { store } = openRedisStore({ url: redis.url });
  await untilUp(store);
  await store.heartbeat(
    { id: 'a', version: '1', startedAt: '', inflight: 0, waiting: 0, hasEnvoy: false },
    60_000,
  );
  process.stdout.write('\nchanges in one call   round trip ms: p50   p99    µs/change\n');
  for (const size of [1, 10, 100, 1_000]) {
    const took: number[] = [];
    for (let round = 0; round < 200; round++) {
      const changes = Array.from({ length: size }, (_, i) => ({
        kind: 'put' as const,
        lease: { id: `${i}`, node: `n${(i + round) % 100}`, model: 'm' },
      }));
      const startedAt = performance.now();
      await store.changeLeases('a', changes);
      took.push(performance.now() - startedAt);
    }
    took.sort((x, y) => x - y);
    const p50 = took[100] ?? Number.NaN;
    process.stdout.write(
      `${String(size).padStart(19)} ${p50.toFixed(2).padStart(20)} ${(took[197] ?? Number.NaN).toFixed(2).padStart(6)} ${((p50 * 1000) / size).toFixed(1).padStart(10)}\n`,
    );
  }
  await store.close();
}

async function memoryPerThousandNodes(): Promise<void> {
  await redis.send('FLUSHALL');
  const { store } = openRedisStore({ url: redis.url });
  await untilUp(store);
  const before = await usedMemory(redis);
  const facts = {
    models: Array.from({ length: 20 }, (_, i) => ({
      name: `model-${i}:latest`,
      digest: 'd'.repeat(64),
      size: 1e9,
    })),
  };
  const ids = Array.from({ length: 1_000 }, (_, i) => `node-${i}`);
  const took: Record<string, number> = {};
  const timed = async (name: string, call: () => Promise<unknown>) => {
    const startedAt = performance.now();
    await call();
    took[name] = performance.now() - startedAt;
  };
  await timed('save', () =>
    store.saveNodes(
      ids.map((id) => ({ id, facts })),
      600_000,
    ),
  );
  await timed('load', () => store.loadNodes(ids));
  await timed('claim', () => store.claimPolls('a', ids, 600_000));
  await timed('renew', () => store.claimPolls('a', ids, 600_000));
  const each = JSON.stringify(facts).length;
  process.stdout.write(
    `\n1,000 nodes with ${each} bytes of facts: ${(((await usedMemory(redis)) - before) / 2 ** 20).toFixed(1)} MiB; ms: ` +
      `${Object.entries(took)
        .map(([name, ms]) => `${name} ${ms.toFixed(1)}`)
        .join(', ')}\n`,
  );
  await store.close();
}

async function usedMemory(server: RealRedis): Promise<number> {
  return Number(/used_memory:(\d+)/.exec(await server.send('INFO', 'memory'))?.[1]);
}

async function untilUp(store: { readonly state: string }): Promise<void> {
  while (store.state !== 'up') await new Promise((resolve) => setTimeout(resolve, 5));
}

function connect(): Redis {
  return new Redis(redis.port, '127.0.0.1', { protocol: 2 });
}
