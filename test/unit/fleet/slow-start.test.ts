import { describe, expect, it } from 'vitest';
import { admission } from '../../../src/fleet/slow-start.ts';
import { NodeLife } from './builders.ts';

const admitted = (node: NodeLife): number => admission(node.record.health, node.params, node.now);

describe('F68: slow start', () => {
  it('is for nodes that were down, not for new ones', () => {
    expect(admitted(new NodeLife().polled())).toBe(1);
  });

  it('climbs from a tenth to all of the slots in a straight line', () => {
    const node = new NodeLife().polled().failed().failed().goodFor(3_000);
    expect(node.status).toBe('ready');
    expect(admitted(node)).toBeCloseTo(0.1);
    expect(admitted(node.wait(15_000))).toBeCloseTo(0.55);
    expect(admitted(node.wait(15_000))).toBe(1);
  });

  it('is not repeated for a single lost poll long after', () => {
    const node = new NodeLife().polled().failed().failed().goodFor(100_000).pollFailed().goodFor(4_000);
    expect(node.status).toBe('ready');
    expect(admitted(node)).toBe(1);
  });

  it('can be switched off', () => {
    const node = new NodeLife({}, { slowStartMs: 0 }).polled().failed().failed().goodFor(3_000);
    expect(node.status).toBe('ready');
    expect(admitted(node)).toBe(1);
  });
});
