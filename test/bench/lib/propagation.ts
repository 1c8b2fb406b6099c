import { SharedLeases } from '../../../src/app/sharing/shared-leases.ts';
import { SystemClock } from '../../../src/app/system-clock.ts';
import { LeaseLedger } from '../../../src/fleet/ledger.ts';
import { isUp, openRedisStore } from '../../support/redis-store.ts';

/** Ms from a lease that one replica takes until another counts it. Both in this process, Redis in its own. */
export async function propagation(redisUrl: string, count: number, intervalMs: number): Promise<number[]> {
  const stop = new AbortController();
  const clock = new SystemClock();
  const replicas = ['a', 'b'].map((name) => {
    const { store } = openRedisStore({ url: redisUrl, keyPrefix: 'propagation:' });
    const ledger = new LeaseLedger();
    const info = () => ({
      id: name,
      version: 'bench',
      startedAt: '',
      inflight: ledger.size,
      waiting: 0,
      hasEnvoy: false,
    });
    const leases = new SharedLeases({ store, replica: name, ledger, clock, info, onReplicas: () => {} });
    return { store, ledger, leases };
  });
  await Promise.all(replicas.map(({ store }) => isUp(store)));
  const ended = replicas.map(({ leases }) => leases.run(stop.signal));
  // Both have heard of each other after two heartbeats.
  await clock.sleep(2_500, stop.signal);
  const [a, b] = replicas;
  const took: number[] = [];
  for (let i = 0; i < count; i += 1) {
    const node = `n${i % 100}`;
    const from = performance.now();
    a?.ledger.take(`${i}`, node, 'model', from);
    while (b?.ledger.onNode(node) !== 1 && performance.now() - from < 5_000)
      await new Promise((resolve) => setImmediate(resolve));
    took.push(performance.now() - from);
    a?.ledger.release(`${i}`);
    await clock.sleep(intervalMs, stop.signal);
  }
  stop.abort();
  await Promise.all(ended);
  await Promise.all(replicas.map(({ store }) => store.close()));
  return took;
}
