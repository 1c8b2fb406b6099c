import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { agent, candidate, configured, RegistryBench } from './registry-bench.ts';

const host = fc.integer({ min: 1, max: 6 });
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('found' as const), hosts: fc.uniqueArray(host) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('empty' as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('join' as const), host }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('remove' as const), host }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 30_000 }) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('answers' as const), host, isGood: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('store' as const), isUp: fc.boolean() }) },
);

describe('whatever sources, agents, operators and the store do', () => {
  it('removed stays removed, configured stays, names and addresses are unique, a failing source empties nothing', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
        const b = await new RegistryBench({ nodes: [configured('fixed', '10.9.9.9')] }).start();
        const { putDocument } = b.store;
        const removed = new Set<string>();
        for (const action of steps) {
          const before = b.members.length;
          switch (action.kind) {
            case 'found':
              b.registry.found(
                'k8s',
                action.hosts.map((n) => candidate(`10.0.0.${n}`, { name: `p${n}`, identity: `pod:${n}` })),
              );
              break;
            case 'empty':
              b.registry.found('k8s', []);
              expect(b.members).toHaveLength(before);
              break;
            case 'join':
              try {
                b.registry.join(agent(`a${action.host}`, `10.0.1.${action.host}`));
              } catch {
                // Removed by an operator before.
              }
              break;
            case 'remove':
              for (const id of [`p${action.host}`, `a${action.host}`])
                await b.registry.remove(id).then(
                  () => removed.add(id),
                  () => {},
                );
              break;
            case 'wait':
              await b.settle(action.ms);
              break;
            case 'answers':
              if (action.isGood) b.answers.delete(`10.0.0.${action.host}:11434`);
              else b.answers.set(`10.0.0.${action.host}:11434`, { problem: 'no' });
              break;
            case 'store':
              b.store.putDocument = action.isUp ? putDocument : () => Promise.reject(new Error('down'));
          }
          const members = b.registry.members();
          const ids = members.map(({ id }) => id);
          expect(ids[0]).toBe('fixed');
          expect(new Set(ids).size).toBe(ids.length);
          expect(ids.filter((id) => removed.has(id))).toEqual([]);
          const places = members.map(({ url }) => `${url.host}:${url.port}`);
          expect(new Set(places).size).toBe(places.length);
        }
        await b.end();
      }),
      { numRuns: 60 },
    );
  });
});
