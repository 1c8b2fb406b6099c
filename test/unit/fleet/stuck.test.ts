import { describe, expect, it } from 'vitest';
import { clearModel, strikeModel, stuckState } from '../../../src/fleet/stuck.ts';
import { NodeLife } from './builders.ts';

const NONE = new Map();

describe('F53: a model whose first byte does not come', () => {
  it('is quarantined at the second timeout, while the node stays ready for others', () => {
    const node = new NodeLife().polled().failed('timeout', 'a');
    expect(stuckState(node.record.health.stuckModels, 'a', node.now)).toBe('fine');
    node.wait(1_000).polled().failed('timeout', 'a');
    expect(stuckState(node.record.health.stuckModels, 'a', node.now)).toBe('stuck');
    expect(stuckState(node.record.health.stuckModels, 'b', node.now)).toBe('fine');
    expect(node.status).toBe('ready');
  });

  it('is half open afterwards; another timeout doubles the quarantine, an answer ends it', () => {
    const second = strikeModel(strikeModel(NONE, 'a', 0), 'a', 0);
    expect(stuckState(second, 'a', 29_999)).toBe('stuck');
    expect(stuckState(second, 'a', 30_000)).toBe('half_open');
    const third = strikeModel(second, 'a', 30_000);
    expect(stuckState(third, 'a', 30_000 + 59_999)).toBe('stuck');
    expect(stuckState(third, 'a', 30_000 + 60_000)).toBe('half_open');
    expect(stuckState(clearModel(third, 'a'), 'a', 30_000)).toBe('fine');
  });

  it('is not quarantined for longer by the requests that were waiting with it', () => {
    let stuck = strikeModel(strikeModel(NONE, 'a', 0), 'a', 0);
    for (let i = 0; i < 50; i += 1) stuck = strikeModel(stuck, 'a', 1_000);
    expect(stuckState(stuck, 'a', 30_000)).toBe('half_open');
  });

  it('competes again when nobody tried it for long, until it fails again', () => {
    const stuck = strikeModel(strikeModel(NONE, 'a', 0), 'a', 0);
    expect(stuckState(stuck, 'a', 629_999)).toBe('half_open');
    expect(stuckState(stuck, 'a', 630_000)).toBe('fine');
    expect(stuckState(strikeModel(stuck, 'a', 629_999), 'a', 629_999)).toBe('stuck');
  });

  it('starts afresh when the last timeout is long ago', () => {
    const once = strikeModel(NONE, 'a', 0);
    expect(stuckState(strikeModel(once, 'a', 700_000), 'a', 700_000)).toBe('fine');
  });

  it('is cleared by a served request', () => {
    const node = new NodeLife().polled().failed('timeout', 'a').failed('timeout', 'a').served({}, 'a');
    expect(node.record.health.stuckModels.size).toBe(0);
  });

  it('is kept for a bounded number of models', () => {
    let stuck: ReadonlyMap<string, { strikes: number; until: number }> = NONE;
    for (let i = 0; i < 1_000; i += 1) stuck = strikeModel(stuck, `m${i}`, i);
    expect(stuck.size).toBe(64);
    expect(stuck.has('m999')).toBe(true);
  });

  it('never waits longer than the longest quarantine', () => {
    let stuck: ReadonlyMap<string, { strikes: number; until: number }> = NONE;
    let now = 0;
    for (let i = 0; i < 40; i += 1) {
      stuck = strikeModel(stuck, 'a', now);
      now = Math.max(now, stuck.get('a')?.until ?? 0);
    }
    const before = now;
    stuck = strikeModel(stuck, 'a', now);
    expect((stuck.get('a')?.until ?? 0) - before).toBe(600_000);
  });
});

describe('F54 F55: a model whose answers break', () => {
  const state = (node: NodeLife, model: string) =>
    stuckState(node.record.health.stuckModels, model, node.now);

  it.each(['in_band_error', 'truncated'] as const)('is left alone after three in a row: %s', (reason) => {
    const node = new NodeLife().polled().failed(reason, 'a').failed(reason, 'a');
    expect(state(node, 'a')).toBe('fine');
    node.failed(reason, 'a');
    expect(state(node, 'a')).toBe('stuck');
    expect(state(node, 'b')).toBe('fine');
    expect(state(node.wait(30_000), 'a')).toBe('half_open');
    expect(state(node.wait(15_000), 'a')).toBe('fine');
    expect(state(node.failed(reason, 'a'), 'a')).toBe('stuck');
  });

  it('may break now and then: an answer between clears it', () => {
    const node = new NodeLife().polled();
    for (let i = 0; i < 20; i += 1)
      node.failed('in_band_error', 'a').failed('server_error', 'a').served({}, 'a');
    expect(state(node, 'a')).toBe('fine');
  });

  it('hardly counts against the other models of the node, as many of them breaking do', () => {
    const one = new NodeLife().polled();
    for (let i = 0; i < 5; i += 1) one.failed('in_band_error', 'a');
    const all = new NodeLife().polled();
    for (let i = 0; i < 5; i += 1) all.failed('in_band_error', `m${i}`);
    expect(one.status).toBe('ready');
    expect(one.record.health.failureRate).toBeLessThan(0.3);
    expect(all.record.health.failureRate).toBeGreaterThan(0.5);
  });

  it('is not blamed for a node that is not there', () => {
    const node = new NodeLife().polled();
    for (let i = 0; i < 5; i += 1) node.failed('refused', 'a');
    expect(node.record.health.stuckModels.size).toBe(0);
  });
});
