import { afterEach, beforeEach, expect, it } from 'vitest';
import { SystemClock } from '../../src/app/system-clock.ts';
import type { Store, StoreMessage } from '../../src/store/contract.ts';
import { StoreError } from '../../src/store/contract.ts';
import { CHANGE_LEASES } from '../../src/store/redis/scripts/leases.ts';
import { startFaultProxy } from '../support/fault-proxy.ts';
import { freePort } from '../support/free-port.ts';
import { RealRedis, redisServer, startRedis } from '../support/redis.ts';
import { isUp, openRedisStore } from '../support/redis-store.ts';
import { describeReal } from '../support/require-real.ts';
import { pause, waitFor } from '../support/wait-for.ts';
import { info, plain, put } from './store.ts';

const LONG = 60_000;

/** `ok`, or the reason of the StoreError; anything else that is thrown fails the test. */
async function resultOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return 'ok';
  } catch (error) {
    if (error instanceof StoreError) return error.reason;
    throw error;
  }
}

async function isDown(store: Store): Promise<void> {
  await waitFor('the store to be down', () => store.state === 'down', { timeoutMs: 15_000 });
}

describeReal(redisServer, 'a Redis that fails', (program) => {
  let redis: RealRedis;
  const opened: Store[] = [];
  beforeEach(async () => {
    redis = await startRedis(program);
  });
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((store) => store.close()));
    await redis.stop();
  });
  function open(config: Parameters<typeof openRedisStore>[0] = {}) {
    const bench = openRedisStore({ url: redis.url, ...config });
    opened.push(bench.store);
    return bench;
  }
  const countsSeenBy = async (store: Store) => plain(await store.inflightElsewhere('observer'));

  it('is no reason not to start, and is found by itself once it is there (F40)', async () => {
    const port = await freePort();
    const { store, log, telemetry } = open({ url: `redis://127.0.0.1:${port}` });
    expect(store.state).toBe('connecting');
    expect(await resultOf(store.heartbeat(info('a'), LONG))).toBe('disconnected');
    await isDown(store);
    await pause(1_500);
    const late = new RealRedis(program, port, {});
    await late.start();
    await isUp(store);
    expect(await resultOf(store.heartbeat(info('a'), LONG))).toBe('ok');
    await late.stop();
    expect(log.lines.map(({ level }) => level)).toEqual(expect.arrayContaining(['warn', 'info']));
    expect(log.messages('warn')[0]).toMatch(/ECONNREFUSED.*tried again in the background/);
    expect(telemetry.states.slice(0, 3)).toEqual(['connecting', 'down', 'up']);
  });

  it('costs one log line each way when it is killed and comes back, and comes back empty (F41)', async () => {
    const { store, log } = open();
    const states: string[] = [];
    store.onState((state) => states.push(state));
    store.subscribe('a', () => {});
    await isUp(store);
    await store.heartbeat(info('a'), LONG);
    await store.changeLeases('a', [put('1')]);
    await redis.crash();
    await isDown(store);
    const results = await Promise.all(
      Array.from({ length: 200 }, () => resultOf(store.changeLeases('a', [put('2')]))),
    );
    expect(new Set(results)).toEqual(new Set(['disconnected']));
    await redis.start();
    await isUp(store);
    expect((await store.heartbeat(info('a'), LONG)).leases).toBe(0);
    expect(states).toEqual(['up', 'down', 'up']);
    expect(log.lines.map(({ level }) => level)).toEqual(['info', 'warn', 'info']);
  });

  it('that hangs is given up: each command ends in time, few wait, and memory stays flat (F42)', async () => {
    const { store, log } = open({ commandTimeout: 300 });
    await isUp(store);
    await store.heartbeat(info('a'), LONG);
    const heapBefore = process.memoryUsage().heapUsed;
    redis.kill('SIGSTOP');
    const results = new Map<string, number>();
    let most = 0;
    for (let round = 0; round < 40; round++) {
      const calls = Array.from({ length: 500 }, (_, i) =>
        resultOf(store.changeLeases('a', [put(`${round}-${i}`)])),
      );
      most = Math.max(most, pendingOf(store));
      for (const result of await Promise.all(calls)) results.set(result, (results.get(result) ?? 0) + 1);
    }
    expect(store.state).toBe('down');
    expect([...results.keys()].filter((result) => result === 'ok')).toEqual([]);
    expect([...results.values()].reduce((a, b) => a + b, 0)).toBe(20_000);
    expect(results.get('timeout')).toBeLessThanOrEqual(1_000);
    expect(most).toBeLessThanOrEqual(1_000);
    await waitFor('no pending command', () => pendingOf(store) === 0);
    expect(process.memoryUsage().heapUsed - heapBefore).toBeLessThan(64 * 1024 * 1024);
    redis.kill('SIGCONT');
    await isUp(store);
    expect(log.count('warn')).toBe(1);
  });

  it('that hangs refuses what comes on top of a thousand waiting commands (F42)', async () => {
    const { store } = open({ commandTimeout: 1_000 });
    await isUp(store);
    redis.kill('SIGSTOP');
    const calls = Array.from({ length: 1_500 }, () => resultOf(store.claimOnce('x', LONG)));
    const results = await Promise.all(calls);
    redis.kill('SIGCONT');
    expect(results.filter((result) => result === 'overloaded')).toHaveLength(500);
    expect(results.filter((result) => result !== 'overloaded' && result !== 'timeout')).toEqual(
      // The first that time out shut the gate and cut the connection: the rest end at once.
      results.filter((result) => result === 'disconnected'),
    );
  });

  it('does not bring back late what was replaced meanwhile: writes given up on never count (F42, F48)', async () => {
    const { store } = open({ commandTimeout: 300 });
    await isUp(store);
    await store.heartbeat(info('a'), LONG);
    redis.kill('SIGSTOP');
    const ghosts = await Promise.all(
      [1, 2, 3, 4, 5, 6].map((i) => resultOf(store.changeLeases('a', [put(`ghost-${i}`)]))),
    );
    expect(new Set(ghosts).has('ok')).toBe(false);
    redis.kill('SIGCONT');
    await isUp(store);
    await store.replaceLeases('a', [{ id: 'true', node: 'n2', model: 'm' }]);
    await pause(200);
    expect(await countsSeenBy(store)).toEqual({ a: { 'n2 m': 1 } });
    expect((await store.heartbeat(info('a'), LONG)).leases).toBe(1);
  });

  it('that takes 500 ms for each answer counts as down, and comes back when it is fast again (F43)', async () => {
    const proxy = await startFaultProxy(`http://${redis.address}`);
    const { store, log } = open({ url: `redis://${proxy.address}`, commandTimeout: 300 });
    await isUp(store);
    proxy.fault = { latencyMs: 500 };
    const results = [];
    for (let i = 0; i < 8; i++) results.push(await resultOf(store.claimOnce(`x${i}`, LONG)));
    expect(results.slice(0, 5)).toEqual(Array(5).fill('timeout'));
    expect(results.slice(5)).not.toContain('ok');
    await isDown(store);
    proxy.fault = {};
    await isUp(store);
    expect(await resultOf(store.claimOnce('y', LONG))).toBe('ok');
    expect(log.count('warn')).toBe(1);
    await proxy.close();
  });

  it('whose connections are reset again and again is found each time (F41)', async () => {
    const proxy = await startFaultProxy(`http://${redis.address}`);
    const { store } = open({ url: `redis://${proxy.address}` });
    const heard: StoreMessage[] = [];
    store.subscribe('a', (message) => heard.push(message));
    for (let i = 0; i < 5; i++) {
      await isUp(store);
      await store.publish({ from: 'b', to: 'a', topic: 'outcomes', body: i });
      await waitFor('the message', () => heard.length === i + 1);
      proxy.cut();
      await isDown(store);
    }
    expect(heard.map(({ body }) => body)).toEqual([0, 1, 2, 3, 4]);
    await proxy.close();
  });

  it('that loses only the connection for messages is down until they are heard again', async () => {
    const { store } = open();
    const heard: StoreMessage[] = [];
    store.subscribe('a', (message) => heard.push(message));
    await isUp(store);
    await redis.send('CLIENT', 'KILL', 'TYPE', 'pubsub');
    await isDown(store);
    await isUp(store);
    await store.publish({ from: 'b', to: undefined, topic: 'outcomes', body: 1 });
    await waitFor('the message', () => heard.length === 1);
  });

  it('that was wiped says so by the number of leases, and is whole after one replace (F44)', async () => {
    const { store } = open();
    await isUp(store);
    await store.heartbeat(info('a'), LONG);
    await store.changeLeases('a', [put('1'), put('2')]);
    await store.claimPolls('a', ['n1'], LONG);
    await redis.send('FLUSHALL');
    expect(await countsSeenBy(store)).toEqual({});
    expect((await store.heartbeat(info('a'), LONG)).leases).toBe(0);
    await store.replaceLeases('a', [
      { id: '1', node: 'n1', model: 'm' },
      { id: '2', node: 'n1', model: 'm' },
    ]);
    expect(await countsSeenBy(store)).toEqual({ a: { 'n1 m': 2 } });
    expect(await store.claimPolls('b', ['n1'], LONG)).toEqual(new Set(['n1']));
    expect(store.state).toBe('up');
  });

  it('that has become a replica refuses writes, and is used again once it is a master (F45)', async () => {
    const other = await startRedis(program);
    const { store, log } = open();
    await isUp(store);
    await store.heartbeat(info('a'), LONG);
    await redis.send('REPLICAOF', '127.0.0.1', String(other.port));
    expect(await resultOf(store.changeLeases('a', [put('1')]))).toBe('refused');
    await isDown(store);
    expect(log.messages('warn')).toEqual([expect.stringContaining('READONLY')]);
    await pause(1_000);
    expect(store.state).toBe('down');
    await redis.send('REPLICAOF', 'NO', 'ONE');
    await isUp(store);
    await store.heartbeat(info('a'), LONG);
    await store.replaceLeases('a', []);
    expect(await countsSeenBy(store)).toEqual({});
    await other.stop();
  });

  it('that is full refuses writes, says so once, and is used again when it has room (F46)', async () => {
    const { store, log } = open();
    await isUp(store);
    await redis.send('SET', 'ballast', 'x'.repeat(2 * 1024 * 1024));
    await redis.send('CONFIG', 'SET', 'maxmemory', '1mb');
    expect(await resultOf(store.putDocument('drains', 'n1', { note: 'x' }))).toBe('refused');
    await isDown(store);
    expect(log.messages('warn')).toEqual([expect.stringContaining('OOM')]);
    await redis.send('CONFIG', 'SET', 'maxmemory', '0');
    await isUp(store);
    expect(await resultOf(store.putDocument('drains', 'n1', { note: 'x' }))).toBe('ok');
    expect(log.count('warn')).toBe(1);
  });

  it.each([
    ['a list', (key: string) => ['RPUSH', key, 'x', 'y']],
    ['a text', (key: string) => ['SET', key, '{"broken":']],
    ['10 MB', (key: string) => ['SET', key, 'x'.repeat(10 * 1024 * 1024)]],
    ['a hash of garbage', (key: string) => ['HSET', key, 'n1', '{"broken":', 'a', '[1,', 'writer', 'x']],
    ['a set of scores', (key: string) => ['ZADD', key, '9999999999999', 'ghost']],
  ])(
    'that holds %s under our keys counts it as absent, says so once, and is repaired by the next writes (F46)',
    async (_, poison) => {
      const { store, log, telemetry } = open();
      await isUp(store);
      const write = async () => {
        const { leases } = await store.heartbeat(info('a'), LONG);
        if (leases !== 1) await store.replaceLeases('a', [{ id: '1', node: 'n1', model: 'm' }]);
        await store.saveNodes([{ id: 'n1', facts: { ok: true } }], LONG);
        await store.putDocument('drains', 'n1', { ok: true });
      };
      const read = async () => ({
        counts: await countsSeenBy(store),
        nodes: (await store.loadNodes(['n1'])).map(({ facts }) => facts),
        documents: (await store.documents('drains')).get('n1'),
        polls: [...(await store.claimPolls('a', ['n1'], LONG))],
      });
      const whole = {
        counts: { a: { 'n1 m': 1 } },
        nodes: [{ ok: true }],
        documents: { ok: true },
        polls: ['n1'],
      };
      await write();
      expect(await read()).toEqual(whole);
      const keys = await keysOf(redis);
      expect(keys.length).toBeGreaterThanOrEqual(8);
      for (const key of keys) {
        await redis.send('DEL', key);
        expect(await redis.send(...poison(key))).not.toMatch(/^-/);
      }
      const poisoned = await read();
      expect({ ...poisoned, polls: [] }).toEqual({ counts: {}, nodes: [], documents: undefined, polls: [] });
      await write();
      await write();
      expect(await read()).toEqual(whole);
      expect(telemetry.rejected.length).toBeGreaterThan(0);
      expect(log.count('warn')).toBe(new Set(telemetry.rejected).size);
      expect(store.state).toBe('up');
    },
  );

  it('that passes on messages of others drops those that are not ours (F46)', async () => {
    const { store, telemetry } = open();
    const heard: StoreMessage[] = [];
    store.subscribe('a', (message) => heard.push(message));
    await isUp(store);
    for (const text of [
      '',
      '{',
      '[]',
      '{"from":1}',
      '{"from":"b","topic":"other","body":1}',
      'x'.repeat(3_000_000),
    ])
      await redis.send('PUBLISH', 'warmpath:to-all', text);
    await store.publish({ from: 'b', to: undefined, topic: 'outcomes', body: 'good' });
    await waitFor('the message', () => heard.length > 0);
    expect(heard.map(({ body }) => body)).toEqual(['good']);
    expect(telemetry.rejected).toEqual(Array(6).fill('message'));
    expect(store.state).toBe('up');
  });

  it('refuses what is too large to share', async () => {
    const { store } = open();
    await isUp(store);
    const large = 'x'.repeat(1024 * 1024);
    expect(await resultOf(store.putDocument('learnt', 'x', large))).toBe('refused');
    expect(
      await resultOf(
        store.saveNodes(
          [
            { id: 'n1', facts: large },
            { id: 'n2', facts: 'small' },
          ],
          LONG,
        ),
      ),
    ).toBe('refused');
    // The facts of the others are saved all the same.
    expect((await store.loadNodes(['n1', 'n2'])).map(({ id }) => id)).toEqual(['n2']);
    expect(await resultOf(store.publish({ from: 'a', to: undefined, topic: 'outcomes', body: large }))).toBe(
      'refused',
    );
    expect(await store.documents('learnt')).toEqual(new Map());
  });

  it('gives a new process none of the leases of an earlier one of the same name, whose late writes do not count', async () => {
    const { store: before } = open();
    const { store: after } = open();
    await Promise.all([isUp(before), isUp(after)]);
    await before.heartbeat(info('a'), LONG);
    await before.changeLeases('a', [put('old')]);
    expect((await after.heartbeat(info('a'), LONG)).leases).toBe(0);
    await after.changeLeases('a', [put('new', 'n2', 'm')]);
    expect(await resultOf(before.changeLeases('a', [put('late')]))).toBe('refused');
    expect(await countsSeenBy(after)).toEqual({ a: { 'n2 m': 1 } });
  });

  it('does not run a write that a newer one has overtaken (F45)', async () => {
    const { store } = open();
    await isUp(store);
    await store.heartbeat(info('a'), LONG);
    await store.changeLeases('a', [put('1')]);
    await store.replaceLeases('a', []);
    const keys = ['info', 'leases', 'counts'].map((name) => `warmpath:{r:a}:${name}`);
    const writer = (await redis.send('HGET', keys[0] ?? '', 'writer')).split('\r\n')[1] ?? '';
    const overtaken = [...keys, writer, '1', '1000', 'warmpath:to-all', '"a"', 'ghost', '["n1","m"]'];
    expect(await redis.send('EVAL', CHANGE_LEASES.lua, '3', ...overtaken)).toBe(':0');
    expect((await store.heartbeat(info('a'), LONG)).leases).toBe(0);
    expect(await countsSeenBy(store)).toEqual({});
  });

  it('lets everything that is not to be kept expire by itself', async () => {
    const { store } = open();
    await isUp(store);
    await store.changeLeases('a', [put('before its first heartbeat')]);
    await store.heartbeat(info('b'), LONG);
    await store.replaceLeases('b', [{ id: '1', node: 'n1', model: 'm' }]);
    await store.claimPolls('b', ['n1'], LONG);
    await store.saveNodes([{ id: 'n1', facts: 1 }], LONG);
    await store.claimOnce('nonce', LONG);
    await store.putDocument('drains', 'n1', {});
    const keys = await keysOf(redis);
    const lasting = [];
    for (const key of keys) if ((await redis.send('PTTL', key)) === ':-1') lasting.push(key);
    expect(keys.length).toBeGreaterThan(10);
    expect(lasting).toEqual(['warmpath:{docs}:drains']);
  });

  it('is the only clock: replicas whose own clocks differ by twenty minutes agree (F47)', async () => {
    const [early, late] = [-600_000, 600_000].map((ms) =>
      openRedisStore({ url: redis.url }, new SkewedClock(ms)),
    );
    if (early === undefined || late === undefined) throw new Error('two stores are needed');
    opened.push(early.store, late.store);
    await Promise.all([isUp(early.store), isUp(late.store)]);
    for (const [mine, others, name] of [
      [early.store, late.store, 'a'],
      [late.store, early.store, 'b'],
    ] as const) {
      expect((await mine.heartbeat(info(name), LONG)).replicas.map(({ id }) => id)).toContain(name);
      await mine.changeLeases(name, [put('1')]);
      expect((await others.inflightElsewhere('observer')).has(name)).toBe(true);
      expect(await mine.claimPolls(name, [name], LONG)).toEqual(new Set([name]));
      expect(await others.claimPolls('other', [name], LONG)).toEqual(new Set());
      await mine.saveNodes([{ id: name, facts: 1 }], LONG);
      const [node] = await others.loadNodes([name]);
      expect(node?.ageMs).toBeLessThan(30_000);
      expect(await mine.claimOnce(name, LONG)).toBe(true);
      expect(await others.claimOnce(name, LONG)).toBe(false);
    }
    expect((await early.store.heartbeat(info('a'), LONG)).replicas).toHaveLength(2);
  });

  it('mends counts that do not fit the leases at the next heartbeat', async () => {
    const { store } = open();
    await isUp(store);
    await store.heartbeat(info('a'), LONG);
    await store.changeLeases('a', [put('1')]);
    await redis.send('HSET', 'warmpath:{r:a}:counts', '["n1","m:latest"]', '7');
    expect((await store.heartbeat(info('a'), LONG)).leases).toBe(0);
    await store.replaceLeases('a', [{ id: '1', node: 'n1', model: 'm' }]);
    expect(await countsSeenBy(store)).toEqual({ a: { 'n1 m': 1 } });
  });
});

class SkewedClock extends SystemClock {
  readonly #byMs: number;
  constructor(byMs: number) {
    super();
    this.#byMs = byMs;
  }
  override now(): number {
    return super.now() + this.#byMs;
  }
  override date(): Date {
    return new Date(super.date().getTime() + this.#byMs);
  }
}

function pendingOf(store: Store): number {
  if (!('pending' in store) || typeof store.pending !== 'number') throw new Error('not a store on Redis');
  return store.pending;
}

async function keysOf(redis: RealRedis): Promise<string[]> {
  const reply = await redis.send('KEYS', '*');
  return reply.split('\r\n').filter((line) => line.startsWith('warmpath:'));
}
