import { describe, expect, it } from 'vitest';
import { Fleet } from '../../../src/app/fleet.ts';
import { DEFAULT_HEALTH } from '../../../src/fleet/params.ts';
import type { NodeSpec } from '../../../src/fleet/types.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { configured } from './registry-bench.ts';

const box = (place: string, identity?: string): NodeSpec => ({ ...configured('box', place), identity });

/** A fleet that has learnt something of its only node. */
function learnt(spec: NodeSpec): Fleet {
  const fleet = new Fleet([spec], DEFAULT_HEALTH, new FakeClock());
  fleet.observe('box', { kind: 'address', address: '10.0.0.1:11434', hosts: [] });
  fleet.observe('box', { kind: 'version', version: '0.24.0' });
  return fleet;
}

describe('what was learnt of a node (F70)', () => {
  it('moves with its identity to another address, which must first prove itself', () => {
    const fleet = learnt(box('10.0.0.1', 'id:k'));
    fleet.replaceNodes([box('10.0.0.2', 'id:k')], DEFAULT_HEALTH);
    expect(fleet.nodes.get('box')).toMatchObject({
      version: '0.24.0',
      address: undefined,
      health: { status: 'unknown' },
    });
    expect(fleet.nodeAt('10.0.0.1:11434')).toBeUndefined();
  });

  it('is not taken over by another identity, not even at the same address', () => {
    const fleet = learnt(box('10.0.0.1', 'id:k'));
    fleet.replaceNodes([box('10.0.0.1', 'id:other')], DEFAULT_HEALTH);
    expect(fleet.nodes.get('box')).toMatchObject({ version: undefined, address: undefined });
    expect(fleet.nodeAt('10.0.0.1:11434')).toBeUndefined();
  });

  it('stays behind where a configured node, which has no identity, gets another URL', () => {
    const fleet = learnt(box('10.0.0.1'));
    fleet.replaceNodes([box('10.0.0.2')], DEFAULT_HEALTH);
    expect(fleet.nodes.get('box')?.version).toBeUndefined();
  });

  it('stays with a node whose labels alone have changed', () => {
    const fleet = learnt(box('10.0.0.1', 'id:k'));
    fleet.replaceNodes([{ ...box('10.0.0.1', 'id:k'), labels: { a: 'b' } }], DEFAULT_HEALTH);
    expect(fleet.nodes.get('box')).toMatchObject({ version: '0.24.0', address: '10.0.0.1:11434' });
  });
});
