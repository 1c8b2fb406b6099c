import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MemoryStore } from '../../../src/store/memory.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { agent, candidate, RegistryBench } from './registry-bench.ts';

const host = fc.integer({ min: 1, max: 4 });
const at = fc.constantFrom(0, 1);
const step = fc.oneof(
  fc.record({ kind: fc.constant('found' as const), at, hosts: fc.uniqueArray(host, { minLength: 1 }) }),
  fc.record({ kind: fc.constant('join' as const), at, host, moved: fc.boolean() }),
  fc.record({ kind: fc.constant('remove' as const), at, host }),
  fc.record({ kind: fc.constant('approve' as const), at, host }),
  fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 8_000 }) }),
  fc.record({ kind: fc.constant('lost' as const) }),
);

describe('two replicas, whatever each of them hears first', () => {
  it('end with the same nodes under the same names, and the operator’s last word on each', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
        const clock = new FakeClock();
        const store = new MemoryStore(clock, { isShared: true });
        const both = [
          await new RegistryBench({ clock, store, replica: 'a' }).start(),
          await new RegistryBench({ clock, store, replica: 'b' }).start(),
        ];
        const [a, b] = both as [RegistryBench, RegistryBench];
        const word = new Map<string, 'removed' | 'approved'>();
        const pods = (hosts: readonly number[]) =>
          hosts.map((n) => candidate(`10.0.0.${n}`, { name: 'pod', identity: `pod:${n}` }));
        for (const action of steps) {
          const one = 'at' in action && action.at === 1 ? b : a;
          if (action.kind === 'found') one.registry.found('k8s', pods(action.hosts));
          if (action.kind === 'wait') await clock.advance(action.ms);
          if (action.kind === 'lost')
            for (const id of (await store.documents('registry')).keys())
              await store.deleteDocument('registry', id);
          if (action.kind === 'join') {
            try {
              one.registry.join(agent(`a${action.host}`, `10.0.${action.moved ? 2 : 1}.${action.host}`));
            } catch {
              // Removed by an operator.
            }
          }
          if (action.kind === 'remove' || action.kind === 'approve') {
            const id = `a${action.host}`;
            const done = action.kind === 'remove' ? 'removed' : 'approved';
            // Two words within one millisecond have no order.
            await clock.advance(1);
            const call: Promise<unknown> = one.registry[action.kind](id);
            await call.then(
              () => word.set(id, done),
              () => {},
            );
          }
        }
        await clock.advance(15_000);
        for (const one of both) one.registry.found('k8s', pods([1, 2, 3, 4]));
        await clock.advance(60_000);
        expect(b.places()).toEqual(a.places());
        expect(Object.values(a.places()).filter((place) => place.startsWith('10.0.0.'))).toHaveLength(4);
        for (const [id, last] of word)
          for (const one of both) {
            if (last === 'removed') expect(one.members).not.toContain(id);
            else expect(one.registry.get(id)?.state).not.toBe('removed');
          }
        for (const one of both) await one.end();
      }),
      { numRuns: 40 },
    );
  });
});
