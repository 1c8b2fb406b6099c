import { describe, expect, it } from 'vitest';
import { fadedFailureRate, failureRateAfter } from '../../../src/fleet/failure-rate.ts';
import { NodeLife } from './builders.ts';

describe('failure rate', () => {
  it('F55 F58: rises with every failed attempt though polls stay good', () => {
    const node = new NodeLife().polled();
    const rates: number[] = [];
    for (let i = 0; i < 5; i += 1) {
      rates.push(node.wait(50).failed('server_error', `m${i}`).wait(50).polled().record.health.failureRate);
    }
    expect(rates).toEqual([...rates].sort((a, b) => a - b));
    expect(rates.at(-1)).toBeGreaterThan(0.5);
  });

  it('weighs a refused connection more than a 500, which the request may have caused', () => {
    expect(failureRateAfter(0, 'refused')).toBeGreaterThan(failureRateAfter(0, 'server_error'));
    expect(failureRateAfter(0, 'server_error')).toBeGreaterThan(failureRateAfter(0, 'busy'));
    expect(failureRateAfter(0.4, 'model_missing')).toBe(0.4);
  });

  it('returns to exactly 0 after enough served requests', () => {
    const node = new NodeLife().polled();
    for (let i = 0; i < 30; i += 1) node.failed('server_error');
    for (let i = 0; i < 20; i += 1) node.wait(10).served();
    expect(node.record.health.failureRate).toBe(0);
  });

  it('fades on a node that nobody tries any more', () => {
    const node = new NodeLife().polled();
    for (let i = 0; i < 30; i += 1) node.failed('server_error', `m${i}`);
    const { health } = node.record;
    expect(fadedFailureRate(health, node.now)).toBeGreaterThan(0.9);
    expect(fadedFailureRate(health, node.now + 14_000)).toBeCloseTo(0.5, 1);
    expect(fadedFailureRate(health, node.now + 600_000)).toBe(0);
  });
});
