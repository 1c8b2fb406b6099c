import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { InflightCounts, Lease, Store } from '../../src/store/contract.ts';

/** What a back end gives the suite. */
export interface StoreHarness {
  open(): Promise<Store>;
  /** A fake clock jumps, a real one waits. */
  advance(ms: number): Promise<void>;
}

const TTL = 60_000;
const lease = (id: string, fields: Partial<Lease> = {}): Lease => ({
  id,
  replica: 'a',
  node: 'n1',
  model: 'm:latest',
  ...fields,
});
const total = (counts: InflightCounts) =>
  [...counts.values()].flatMap((models) => [...models.values()]).reduce((a, b) => a + b, 0);

/** Every store passes it: replicas `a` and `b` share one. */
export function describeStore(name: string, harness: StoreHarness): void {
  describe(`store contract: ${name}`, () => {
    let store: Store;
    beforeEach(async () => {
      store = await harness.open();
    });
    afterEach(() => store.close());

    it('shows a replica the leases of the others by node and model, not its own', async () => {
      await store.putLease(lease('1'), TTL);
      await store.putLease(lease('2', { model: 'other:latest' }), TTL);
      await store.putLease(lease('3', { replica: 'b', node: 'n2' }), TTL);
      expect(await store.inflightElsewhere('b')).toEqual(
        new Map([
          [
            'n1',
            new Map([
              ['m:latest', 1],
              ['other:latest', 1],
            ]),
          ],
        ]),
      );
      expect(await store.inflightElsewhere('a')).toEqual(new Map([['n2', new Map([['m:latest', 1]])]]));
    });

    it('counts a lease once however often it is put, on the node of the last put', async () => {
      await store.putLease(lease('1'), TTL);
      await store.putLease(lease('1'), TTL);
      await store.putLease(lease('1', { node: 'n2' }), TTL);
      expect(await store.inflightElsewhere('b')).toEqual(new Map([['n2', new Map([['m:latest', 1]])]]));
    });

    it('releases once: a second release finds nothing and takes nothing away', async () => {
      await store.putLease(lease('1'), TTL);
      await store.putLease(lease('2'), TTL);
      expect(await store.releaseLease('1')).toBe(true);
      expect(await store.releaseLease('1')).toBe(false);
      expect(await store.releaseLease('never')).toBe(false);
      expect(total(await store.inflightElsewhere('b'))).toBe(1);
    });

    it('drops an expired lease while another one of the same node lives on', async () => {
      await store.putLease(lease('long'), TTL);
      await store.putLease(lease('short'), 30);
      await harness.advance(60);
      expect(total(await store.inflightElsewhere('b'))).toBe(1);
      expect(await store.releaseLease('short')).toBe(false);
      expect(await store.releaseLease('long')).toBe(true);
    });

    it('keeps the leases of a replica that sends heartbeats, and ends those of one that is silent', async () => {
      await store.putLease(lease('mine'), 200);
      await store.putLease(lease('theirs', { replica: 'b' }), 200);
      await harness.advance(120);
      await store.heartbeat('a', 200);
      await harness.advance(120);
      expect(total(await store.inflightElsewhere('c'))).toBe(1);
      expect(total(await store.inflightElsewhere('b'))).toBe(1);
    });

    it('does not bring an expired lease back by a heartbeat', async () => {
      await store.putLease(lease('late'), 30);
      await harness.advance(60);
      await store.heartbeat('a', TTL);
      expect(total(await store.inflightElsewhere('b'))).toBe(0);
    });
  });
}
