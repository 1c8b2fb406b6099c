import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type {
  InflightCounts,
  Lease,
  LeaseChange,
  ReplicaInfo,
  Store,
  StoreMessage,
} from '../../src/store/contract.ts';
import { waitFor } from '../support/wait-for.ts';

/** What a back end gives the suite. */
export interface StoreHarness {
  /** The stores of replicas `a`, `b` and `c`: empty, and connected. In memory they are one object. */
  open(): Promise<readonly Store[]>;
  /** A fake clock jumps, a real one waits. */
  advance(ms: number): Promise<void>;
}

const LONG = 60_000;
const SHORT = 400;

export function put(id: string, node = 'n1', model = 'm:latest'): LeaseChange {
  return { kind: 'put', lease: { id, node, model } };
}
export function release(id: string): LeaseChange {
  return { kind: 'release', id };
}
export function info(id: string, fields: Partial<ReplicaInfo> = {}): ReplicaInfo {
  return {
    id,
    version: '1.2.3',
    startedAt: '2026-01-01T00:00:00.000Z',
    inflight: 0,
    waiting: 0,
    hasEnvoy: false,
    ...fields,
  };
}
/** Written `{ a: { 'n1 m:latest': 2 } }`. */
export function plain(counts: ReadonlyMap<string, InflightCounts>): Record<string, Record<string, number>> {
  return Object.fromEntries(
    [...counts].map(([replica, nodes]) => [
      replica,
      Object.fromEntries(
        [...nodes].flatMap(([node, models]) => [...models].map(([model, n]) => [`${node} ${model}`, n])),
      ),
    ]),
  );
}

/** Every store passes it. */
export function describeStore(name: string, harness: StoreHarness): void {
  describe(`store contract: ${name}`, () => {
    let [a, b, c]: readonly Store[] = [];
    let stores: readonly Store[] = [];
    beforeEach(async () => {
      stores = await harness.open();
      [a, b, c] = stores;
    });
    afterEach(async () => {
      await Promise.all(stores.map((store) => store.close()));
    });
    /** The store of a replica; the suite fails loudly where the harness opened too few. */
    function of(store: Store | undefined): Store {
      if (store === undefined) throw new Error('the harness opened too few stores');
      return store;
    }
    const beat = (store: Store | undefined, id: string, ttlMs = LONG) => of(store).heartbeat(info(id), ttlMs);
    const seenBy = async (store: Store | undefined, id: string) =>
      plain(await of(store).inflightElsewhere(id));

    describe('claims of a slot', () => {
      const lease = (id: string, node = 'n1', model = 'm:latest'): Lease => ({ id, node, model });
      beforeEach(async () => {
        await beat(a, 'a');
        await beat(b, 'b');
      });

      it('are granted up to the cap, over all replicas, and count as leases', async () => {
        expect(await of(a).claimSlot('a', lease('1'), 2)).toBe(true);
        expect(await of(b).claimSlot('b', lease('2'), 2)).toBe(true);
        expect(await of(a).claimSlot('a', lease('3'), 2)).toBe(false);
        expect(await of(b).claimSlot('b', lease('4'), 2)).toBe(false);
        expect(await seenBy(c, 'c')).toEqual({ a: { 'n1 m:latest': 1 }, b: { 'n1 m:latest': 1 } });
        expect((await beat(a, 'a')).leases).toBe(1);
      });

      it('count leases that were taken without asking', async () => {
        await of(b).changeLeases('b', [put('x'), put('y')]);
        expect(await of(a).claimSlot('a', lease('1'), 2)).toBe(false);
        await of(b).changeLeases('b', [release('x')]);
        expect(await of(a).claimSlot('a', lease('1'), 2)).toBe(true);
      });

      it('concern one model on one node', async () => {
        expect(await of(a).claimSlot('a', lease('1'), 1)).toBe(true);
        expect(await of(a).claimSlot('a', lease('2', 'n2'), 1)).toBe(true);
        expect(await of(b).claimSlot('b', lease('3', 'n1', 'other:7b'), 1)).toBe(true);
      });

      it('may be repeated: the lease counts once', async () => {
        expect(await of(a).claimSlot('a', lease('1'), 1)).toBe(true);
        expect(await of(a).claimSlot('a', lease('1'), 1)).toBe(true);
        expect((await beat(a, 'a')).leases).toBe(1);
      });

      it('find a slot that was released again', async () => {
        await of(a).claimSlot('a', lease('1'), 1);
        await of(a).changeLeases('a', [release('1')]);
        expect(await of(b).claimSlot('b', lease('2'), 1)).toBe(true);
      });

      it('find the slots of a replica that has left', async () => {
        await of(a).claimSlot('a', lease('1'), 1);
        await of(a).leave('a');
        expect(await of(b).claimSlot('b', lease('2'), 1)).toBe(true);
      });

      it('that come together never give one slot twice, and some of them succeed in the end', async () => {
        const granted = new Set<string>();
        for (let round = 0; round < 20; round += 1) {
          const claims = [0, 1, 2, 3].flatMap((i) =>
            [
              ['a', a],
              ['b', b],
            ].map(async ([name, store]) => {
              const id = `${name}-${round}-${i}`;
              // Sound: the pairs above are a name and its store.
              const isOurs = await of(store as Store).claimSlot(name as string, lease(id), 3);
              if (isOurs) granted.add(id);
            }),
          );
          await Promise.all(claims);
          expect(granted.size).toBeLessThanOrEqual(3);
          if (granted.size === 3) break;
        }
        expect(granted.size).toBe(3);
        const counts = Object.values(await seenBy(c, 'c')).map((pairs) => pairs['n1 m:latest'] ?? 0);
        expect(counts.reduce((sum, each) => sum + each, 0)).toBe(3);
      });
    });

    describe('leases', () => {
      it('shows a replica the leases of the others by replica, node and model, not its own', async () => {
        await beat(a, 'a');
        await beat(b, 'b');
        await of(a).changeLeases('a', [put('1'), put('2', 'n1', 'other:7b'), put('3')]);
        await of(b).changeLeases('b', [put('4', 'n2')]);
        expect(await seenBy(c, 'c')).toEqual({
          a: { 'n1 m:latest': 2, 'n1 other:7b': 1 },
          b: { 'n2 m:latest': 1 },
        });
        expect(await seenBy(b, 'b')).toEqual({ a: { 'n1 m:latest': 2, 'n1 other:7b': 1 } });
      });

      it('counts a request that needs no model', async () => {
        await beat(a, 'a');
        await of(a).changeLeases('a', [put('1', 'n1', ''), put('2', 'n1', 'm:latest')]);
        expect(await seenBy(b, 'b')).toEqual({ a: { 'n1 ': 1, 'n1 m:latest': 1 } });
      });

      it('counts a lease once however often it is put, on the node of the last put', async () => {
        await beat(a, 'a');
        await of(a).changeLeases('a', [put('1'), put('1')]);
        await of(a).changeLeases('a', [put('1'), put('1', 'n2')]);
        expect(await seenBy(b, 'b')).toEqual({ a: { 'n2 m:latest': 1 } });
      });

      it('releases once: a second release finds nothing and takes nothing away', async () => {
        await beat(a, 'a');
        await of(a).changeLeases('a', [put('1'), put('2'), release('1'), release('1'), release('never')]);
        await of(a).changeLeases('a', [release('1')]);
        expect(await seenBy(b, 'b')).toEqual({ a: { 'n1 m:latest': 1 } });
        expect((await beat(a, 'a')).leases).toBe(1);
      });

      it('replaces all that a replica has, whatever it had', async () => {
        await beat(a, 'a');
        const leases: Lease[] = Array.from({ length: 500 }, (_, i) => ({
          id: `new-${i}`,
          node: `n${i % 5}`,
          model: 'm:latest',
        }));
        await of(a).changeLeases('a', [put('old'), put('new-1', 'n9')]);
        await of(a).replaceLeases('a', leases);
        await of(a).replaceLeases('a', leases);
        expect(await seenBy(b, 'b')).toEqual({
          a: Object.fromEntries([0, 1, 2, 3, 4].map((n) => [`n${n} m:latest`, 100])),
        });
        expect((await beat(a, 'a')).leases).toBe(500);
        await of(a).replaceLeases('a', []);
        expect(await seenBy(b, 'b')).toEqual({});
        expect((await beat(a, 'a')).leases).toBe(0);
      });

      it('keeps the leases of a replica that sends heartbeats, and ends those of one that is silent', async () => {
        await beat(a, 'a', SHORT);
        await beat(b, 'b', SHORT);
        await of(a).changeLeases('a', [put('mine')]);
        await of(b).changeLeases('b', [put('theirs')]);
        expect((await beat(a, 'a', LONG)).leases).toBe(1);
        await harness.advance(SHORT * 1.5);
        expect(await seenBy(c, 'c')).toEqual({ a: { 'n1 m:latest': 1 } });
        expect((await beat(a, 'a')).leases).toBe(1);
      });

      it.each(['changed', 'replaced'])(
        'gives a replica that was silent for too long none of its leases back, however they were %s',
        async (how) => {
          await beat(a, 'a', SHORT);
          if (how === 'changed') await of(a).changeLeases('a', [put('late')]);
          else await of(a).replaceLeases('a', [{ id: 'late', node: 'n1', model: 'm' }]);
          await harness.advance(SHORT * 1.5);
          expect((await beat(a, 'a')).leases).toBe(0);
          expect(await seenBy(b, 'b')).toEqual({});
        },
      );

      it('shows the leases of a replica from its first heartbeat on', async () => {
        await of(a).changeLeases('a', [put('1')]);
        expect(await seenBy(b, 'b')).toEqual({});
        expect((await beat(a, 'a')).leases).toBe(1);
        expect(await seenBy(b, 'b')).toEqual({ a: { 'n1 m:latest': 1 } });
      });

      it('lets a replica leave with its leases and its claims, as if it had never been', async () => {
        await beat(a, 'a');
        await beat(b, 'b');
        await of(a).changeLeases('a', [put('1')]);
        await of(a).claimPolls('a', ['n1'], LONG);
        await of(a).leave('a');
        await of(a).leave('a');
        expect(await seenBy(b, 'b')).toEqual({});
        expect((await beat(b, 'b')).replicas.map(({ id }) => id)).toEqual(['b']);
        expect(await of(b).claimPolls('b', ['n1'], LONG)).toEqual(new Set(['n1']));
      });
    });

    describe('replicas', () => {
      it('tells each of all that live, with what they said last', async () => {
        await beat(a, 'a');
        await of(a).heartbeat(info('a', { inflight: 7, waiting: 2 }), LONG);
        const { replicas } = await beat(b, 'b');
        expect([...replicas].sort((x, y) => x.id.localeCompare(y.id))).toEqual([
          info('a', { inflight: 7, waiting: 2 }),
          info('b'),
        ]);
      });

      it('forgets one that is silent', async () => {
        await beat(a, 'a', SHORT);
        await harness.advance(SHORT * 1.5);
        expect((await beat(b, 'b')).replicas).toEqual([info('b')]);
      });
    });

    describe('claims to poll', () => {
      it('gives each node to one replica until its claim ends, and renews it for that one', async () => {
        expect(await of(a).claimPolls('a', ['n1', 'n2'], SHORT)).toEqual(new Set(['n1', 'n2']));
        expect(await of(b).claimPolls('b', ['n1', 'n3'], LONG)).toEqual(new Set(['n3']));
        expect(await of(a).claimPolls('a', ['n1', 'n3'], LONG)).toEqual(new Set(['n1']));
        await harness.advance(SHORT * 1.5);
        expect(await of(b).claimPolls('b', ['n1', 'n2'], LONG)).toEqual(new Set(['n2']));
        expect(await of(a).claimPolls('a', ['n1', 'n2'], LONG)).toEqual(new Set(['n1']));
      });

      it('keeps a long claim where a short one comes after it', async () => {
        await of(a).claimPolls('a', ['n1'], LONG);
        await of(b).claimPolls('b', ['n2'], SHORT);
        await harness.advance(SHORT * 1.5);
        expect(await of(c).claimPolls('c', ['n1', 'n2'], SHORT)).toEqual(new Set(['n2']));
      });

      it('frees at once what its holder releases, and only that', async () => {
        await of(a).claimPolls('a', ['n1', 'n2'], LONG);
        await of(b).releasePolls('b', ['n1']);
        await of(a).releasePolls('a', ['n2', 'unknown']);
        expect(await of(b).claimPolls('b', ['n1', 'n2'], LONG)).toEqual(new Set(['n2']));
      });

      it('takes a thousand nodes in one call, and none', async () => {
        const nodes = Array.from({ length: 1_000 }, (_, i) => `node-${i}`);
        expect(await of(a).claimPolls('a', nodes, LONG)).toEqual(new Set(nodes));
        expect(await of(b).claimPolls('b', nodes, LONG)).toEqual(new Set());
        expect(await of(b).claimPolls('b', [], LONG)).toEqual(new Set());
        await of(a).releasePolls('a', nodes);
        await of(a).releasePolls('a', []);
        expect((await of(b).claimPolls('b', nodes, LONG)).size).toBe(1_000);
      });

      it('never gives a node to two replicas that ask at the same time', async () => {
        const nodes = Array.from({ length: 50 }, (_, i) => `node-${i}`);
        const claims = await Promise.all([
          of(a).claimPolls('a', nodes, LONG),
          of(b).claimPolls('b', nodes, LONG),
          of(c).claimPolls('c', nodes, LONG),
        ]);
        expect(claims.reduce((sum, held) => sum + held.size, 0)).toBe(50);
        expect(new Set(claims.flatMap((held) => [...held])).size).toBe(50);
      });
    });

    describe('facts of nodes', () => {
      it('gives them to any replica with their age by the store’s clock, and leaves unknown nodes out', async () => {
        await of(a).saveNodes([{ id: 'n1', facts: { models: ['m:latest'], vram: 24 } }], LONG);
        await harness.advance(SHORT);
        await of(b).saveNodes([{ id: 'n2', facts: null }], LONG);
        const [first, second, ...more] = await of(c).loadNodes(['n1', 'missing', 'n2']);
        expect(more).toEqual([]);
        expect(first).toMatchObject({ id: 'n1', facts: { models: ['m:latest'], vram: 24 } });
        expect(first?.ageMs).toBeGreaterThanOrEqual(SHORT - 50);
        expect(second).toMatchObject({ id: 'n2', facts: null });
        expect(second?.ageMs).toBeLessThan(first?.ageMs ?? 0);
      });

      it('forgets what is not renewed', async () => {
        await of(a).saveNodes(
          [
            { id: 'n1', facts: 1 },
            { id: 'n2', facts: 1 },
          ],
          SHORT,
        );
        await of(a).saveNodes([{ id: 'n2', facts: 2 }], LONG);
        await harness.advance(SHORT * 1.5);
        expect((await of(b).loadNodes(['n1', 'n2'])).map(({ id, facts }) => [id, facts])).toEqual([
          ['n2', 2],
        ]);
        expect(await of(b).loadNodes([])).toEqual([]);
      });

      it('takes a thousand nodes in one call', async () => {
        const nodes = Array.from({ length: 1_000 }, (_, i) => ({ id: `node-${i}`, facts: { i } }));
        await of(a).saveNodes(nodes, LONG);
        await of(a).saveNodes([], LONG);
        const loaded = await of(b).loadNodes(nodes.map(({ id }) => id));
        expect(loaded.map(({ id, facts }) => ({ id, facts }))).toEqual(nodes);
      });
    });

    describe('documents', () => {
      it('keeps each kind apart, replaces by id, and says whether there was one to delete', async () => {
        await of(a).putDocument('drains', 'n1', { note: 'new fan' });
        await of(a).putDocument('drains', 'n1', { note: 'newer fan' });
        await of(b).putDocument('registry', 'n1', ['x', 1, null]);
        await of(b).putDocument('registry', '__proto__', 1);
        expect(await of(c).documents('drains')).toEqual(new Map([['n1', { note: 'newer fan' }]]));
        expect(await of(c).documents('registry')).toEqual(
          new Map<string, unknown>([
            ['n1', ['x', 1, null]],
            ['__proto__', 1],
          ]),
        );
        expect(await of(c).documents('learnt')).toEqual(new Map());
        expect(await of(b).deleteDocument('drains', 'n1')).toBe(true);
        expect(await of(a).deleteDocument('drains', 'n1')).toBe(false);
        expect(await of(c).documents('drains')).toEqual(new Map());
      });

      it('keeps what it was given: changing the value later changes nothing', async () => {
        const value = { note: 'a' };
        await of(a).putDocument('learnt', 'x', value);
        value.note = 'b';
        const read = await of(a).documents('learnt');
        expect(read.get('x')).toEqual({ note: 'a' });
      });
    });

    describe('one-time values', () => {
      it('grants each to the first who claims it, until its time is up', async () => {
        const granted = await Promise.all([
          of(a).claimOnce('nonce', SHORT),
          of(b).claimOnce('nonce', SHORT),
          of(c).claimOnce('nonce', SHORT),
        ]);
        expect(granted.filter(Boolean)).toHaveLength(1);
        expect(await of(a).claimOnce('nonce', LONG)).toBe(false);
        expect(await of(a).claimOnce('another', SHORT)).toBe(true);
        await harness.advance(SHORT * 1.5);
        expect(await of(b).claimOnce('nonce', SHORT)).toBe(true);
      });
    });

    describe('messages', () => {
      it('reach all others, or the one that is named, and never their sender', async () => {
        const heard = await listeners();
        const all = { from: 'a', to: undefined, topic: 'outcomes', body: { n: 1, text: 'é\0"' } } as const;
        const one = { from: 'a', to: 'c', topic: 'documents', body: null } as const;
        await of(a).publish(all);
        await of(a).publish(one);
        await arrived(heard.c, 2);
        expect(heard).toEqual({ a: [], b: [all], c: [all, one] });
      });

      it('carry the resulting counts of each change of leases, absolute, and of everything after a replace', async () => {
        await beat(a, 'a');
        const heard = await listeners();
        await of(a).changeLeases('a', [put('1'), put('2'), put('3', 'n2'), release('3')]);
        await of(a).changeLeases('a', [put('1')]);
        await of(a).changeLeases('a', [put('1', 'n2'), release('2')]);
        await of(a).replaceLeases('a', [{ id: '9', node: 'n9', model: 'm:latest' }]);
        await of(a).leave('a');
        await arrived(heard.b, 4);
        const bodies = heard.b.map(({ from, to, topic, body }) => {
          expect({ from, to, topic }).toEqual({ from: 'a', to: undefined, topic: 'leases' });
          const { isAll, counts } = body as { isAll: boolean; counts: unknown[][] };
          return { isAll, counts: counts.map((count) => count.join(' ')).sort() };
        });
        expect(bodies).toEqual([
          { isAll: false, counts: ['n1 m:latest 2', 'n2 m:latest 0'] },
          { isAll: false, counts: ['n1 m:latest 0', 'n2 m:latest 1'] },
          { isAll: true, counts: ['n9 m:latest 1'] },
          { isAll: true, counts: [] },
        ]);
        expect(heard.a).toEqual([]);
      });

      it('stop when the listener has ended its subscription', async () => {
        const heard: StoreMessage[] = [];
        const end = of(b).subscribe('b', (message) => heard.push(message));
        const others = await listeners();
        end();
        heard.length = 0;
        await of(a).publish({ from: 'a', to: undefined, topic: 'outcomes', body: 1 });
        await arrived(others.b, 1);
        await arrived(others.c, 1);
        expect(heard).toEqual([]);
      });

      /** What each replica hears from now on: subscriptions are known to work when this resolves. */
      async function listeners(): Promise<Record<'a' | 'b' | 'c', StoreMessage[]>> {
        const heard = { a: [] as StoreMessage[], b: [] as StoreMessage[], c: [] as StoreMessage[] };
        of(a).subscribe('a', (message) => heard.a.push(message));
        of(b).subscribe('b', (message) => heard.b.push(message));
        of(c).subscribe('c', (message) => heard.c.push(message));
        for (const list of [heard.a, heard.b, heard.c]) {
          await waitFor('a working subscription', async () => {
            await of(a).publish({ from: 'probe', to: undefined, topic: 'outcomes', body: null });
            return list.length > 0;
          });
        }
        await harness.advance(100);
        for (const list of [heard.a, heard.b, heard.c]) list.length = 0;
        return heard;
      }
      async function arrived(heard: readonly StoreMessage[], count: number): Promise<void> {
        await waitFor(`${count} messages`, () => heard.length >= count);
      }
    });
  });
}
