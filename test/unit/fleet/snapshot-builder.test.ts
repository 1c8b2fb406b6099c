import fc from 'fast-check';
import { expect, it } from 'vitest';
import { DEFAULT_HEALTH } from '../../../src/fleet/params.ts';
import { buildSnapshot } from '../../../src/fleet/snapshot.ts';
import { SnapshotBuilder } from '../../../src/fleet/snapshot-builder.ts';
import type { FleetSnapshot, NodeRecord } from '../../../src/fleet/types.ts';
import { NodeLife, onDisk, resident } from './builders.ts';

const KEYS = ['a', 'b', 'c'];
const models = fc.subarray(KEYS);
const change = fc.record({
  node: fc.nat(30),
  tags: fc.option(models, { nil: undefined }),
  memory: fc.option(models, { nil: undefined }),
  leaves: fc.boolean(),
});

/** All that a snapshot says, without the order of its nodes. */
function told(snapshot: FleetSnapshot): object {
  const ids = (places: Uint32Array | undefined) =>
    [...(places ?? [])].map((at) => snapshot.nodes[at]?.id ?? 'nobody').sort();
  return {
    nodes: new Map(snapshot.nodes.map((node) => [node.id, node])),
    byId: new Map(snapshot.byId),
    unseen: ids(snapshot.byModel.unseen),
    models: [...snapshot.byModel.keys()].sort(),
    lists: KEYS.map((key) => {
      const candidates = snapshot.byModel.candidates(key);
      return [ids(candidates?.knowing), ids(candidates?.warm)];
    }),
  };
}

it('however nodes come, change and go, together or one by one, says what a snapshot from nothing says', () => {
  fc.assert(
    fc.property(fc.array(fc.array(change, { maxLength: 40 }), { maxLength: 6 }), (rounds) => {
      const lives = new Map<string, NodeLife>();
      const builder = new SnapshotBuilder();
      const earlier: [FleetSnapshot, object][] = [];
      for (const round of rounds) {
        const changed = new Map<string, NodeRecord | undefined>();
        for (const { node, tags, memory, leaves } of round) {
          const id = `n${node}`;
          if (leaves) lives.delete(id);
          else {
            const life = lives.get(id) ?? new NodeLife({ id });
            lives.set(id, life);
            if (tags !== undefined) life.tagged(...tags.map((key) => onDisk(key)));
            if (memory !== undefined) life.polled(...memory.map((key) => resident(key)));
          }
          changed.set(id, lives.get(id)?.record);
        }
        const snapshot = builder.next(changed, 0, DEFAULT_HEALTH);
        const records = [...lives.values()].map(({ record }) => record);
        expect(told(snapshot)).toEqual(told(buildSnapshot(records, 1, 0, DEFAULT_HEALTH)));
        for (const [before, said] of earlier) expect(told(before)).toEqual(said);
        earlier.push([snapshot, told(snapshot)]);
      }
    }),
    { numRuns: 200 },
  );
});
