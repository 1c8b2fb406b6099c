import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Store, StoreError, type StoreMessage } from '../../src/store/contract.ts';
import { redisServer } from '../support/redis.ts';
import {
  type RedisCluster,
  type SentinelGroup,
  startCluster,
  startSentinelGroup,
} from '../support/redis-groups.ts';
import { isUp, openRedisStore } from '../support/redis-store.ts';
import { describeReal } from '../support/require-real.ts';
import { waitFor } from '../support/wait-for.ts';
import { info, plain, put } from './store.ts';

const LONG = 60_000;
const leases = [
  { id: '1', node: 'n1', model: 'm' },
  { id: '2', node: 'n1', model: 'm' },
];

describeReal(redisServer, 'a master that dies behind Sentinel', (program) => {
  let group: SentinelGroup;
  beforeAll(async () => {
    group = await startSentinelGroup(program);
  });
  afterAll(() => group.stop());

  it('is replaced by its replica, and stays out of use when it comes back (F45)', async () => {
    const sentinels = group.sentinels.map(({ port }) => ({ host: '127.0.0.1', port }));
    const [a, b] = [openRedisStore({ sentinels }), openRedisStore({ sentinels })];
    const heard: StoreMessage[] = [];
    b.store.subscribe('b', (message) => heard.push(message));
    await Promise.all([isUp(a.store), isUp(b.store)]);
    await a.store.heartbeat(info('a'), LONG);
    await a.store.changeLeases('a', [put('before')]);
    await group.master.crash();
    await waitFor('the new master', async () => (await group.masterPort()) === group.replica.port, {
      timeoutMs: 30_000,
    });
    await Promise.all([isUp(a.store, 30_000), isUp(b.store, 30_000)]);
    await reconciled(a.store);
    expect(plain(await b.store.inflightElsewhere('b'))).toEqual({ a: { 'n1 m': 2 } });
    await waitFor('news of the leases', () => {
      const last = heard.filter(({ topic }) => topic === 'leases').at(-1);
      return last !== undefined && JSON.stringify(last.body) === '{"isAll":true,"counts":[["n1","m",2]]}';
    });

    // The old one believes that it is a master until Sentinel tells it otherwise.
    await group.master.start();
    await waitFor(
      'the old master to be a replica',
      async () => (await group.master.send('ROLE')).includes('slave'),
      { timeoutMs: 30_000 },
    );
    await a.store.changeLeases('a', [put('3', 'n2', 'm')]);
    expect(plain(await b.store.inflightElsewhere('b'))).toEqual({ a: { 'n1 m': 2, 'n2 m': 1 } });
    for (const { log } of [a, b]) expect(log.count('warn')).toBeLessThanOrEqual(2);
    await Promise.all([a.store.close(), b.store.close()]);
  }, 90_000);

  /** What a replica does after each failure. */
  async function reconciled(store: Store): Promise<void> {
    await waitFor(
      'leases to be told anew',
      async () => {
        await store.heartbeat(info('a'), LONG);
        await store.replaceLeases('a', leases);
        return true;
      },
      { timeoutMs: 30_000 },
    );
    await isUp(store);
  }
});

describeReal(redisServer, 'a cluster that loses a node', (program) => {
  let cluster: RedisCluster;
  beforeAll(async () => {
    cluster = await startCluster(program, { config: ['cluster-require-full-coverage no'] });
  });
  afterAll(() => cluster.stop());

  it('serves what is on the others, refuses the rest in time, and is whole when the node is back', async () => {
    const [first, , lost] = cluster.masters;
    if (first === undefined || lost === undefined) throw new Error('the cluster is too small');
    const { store } = openRedisStore({
      clusterNodes: [{ host: '127.0.0.1', port: first.port }],
      commandTimeout: 1_000,
    });
    await isUp(store);
    const results = async () => {
      const claims = Array.from({ length: 60 }, (_, i) => store.claimOnce(`${i}-${Math.random()}`, LONG));
      const settled = await Promise.allSettled(claims);
      for (const result of settled)
        if (result.status === 'rejected') expect(result.reason).toBeInstanceOf(StoreError);
      return settled.filter(({ status }) => status === 'fulfilled').length;
    };
    expect(await results()).toBe(60);
    await lost.crash();
    const [least, most] = [5, 59];
    await waitFor('the others to serve their part', async () => {
      const served = await results();
      return served >= least && served <= most;
    });
    await lost.start();
    await waitFor('the whole cluster', async () => (await results()) === 60, { timeoutMs: 30_000 });

    // One that hangs holds up nothing but its own part, and what waits for it is given up.
    lost.kill('SIGSTOP');
    const served = await results();
    expect(served).toBeGreaterThanOrEqual(least);
    expect(served).toBeLessThanOrEqual(most);
    await waitFor('no pending command', () => 'pending' in store && store.pending === 0, {
      timeoutMs: 20_000,
    });
    lost.kill('SIGCONT');
    await waitFor('the whole cluster', async () => (await results()) === 60, { timeoutMs: 30_000 });
    await store.close();
  }, 90_000);
});
