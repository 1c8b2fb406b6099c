import { describe, expect, it } from 'vitest';
import { newNode } from '../../../src/fleet/new-node.ts';
import { observe } from '../../../src/fleet/observe.ts';
import { DEFAULT_HEALTH } from '../../../src/fleet/params.ts';
import { withSentContext } from '../../../src/fleet/sent-contexts.ts';
import type { NodeRecord, Observation, ResidentModel } from '../../../src/fleet/types.ts';
import { onDisk, resident, spec } from './builders.ts';

const MODEL = 'm:latest';

function polled(node: NodeRecord, models: readonly ResidentModel[], now: number): NodeRecord {
  const seen: Observation = { kind: 'resident', models, rttMs: 1 };
  return observe(node, seen, DEFAULT_HEALTH, now);
}

const tags: Observation = { kind: 'tags', models: [onDisk(MODEL), onDisk('copy:latest')], rttMs: 1 };
const small = polled(
  observe(newNode(spec('n1'), 0), tags, DEFAULT_HEALTH, 0),
  [resident(MODEL, { contextLength: 4096 })],
  0,
);
const context = (node: NodeRecord): number | undefined => node.sentContexts?.get(MODEL)?.numCtx;

describe('the context that a request was sent with', () => {
  const sent = withSentContext(small, MODEL, 8192, 1_000);

  it('holds until a poll shows it', () => {
    expect(context(sent)).toBe(8192);
    expect(context(polled(sent, [resident(MODEL, { contextLength: 8192 })], 2_000))).toBeUndefined();
  });

  it('holds while the model is being loaded, and is in no list', () => {
    expect(context(polled(sent, [], 5_000))).toBe(8192);
    expect(context(polled(sent, [], 200_000))).toBe(8192);
    expect(context(polled(sent, [], 302_000))).toBeUndefined();
  });

  it('gives way to polls that go on showing another', () => {
    expect(context(polled(sent, [resident(MODEL, { contextLength: 4096 })], 1_100))).toBe(8192);
    expect(context(polled(sent, [resident(MODEL, { contextLength: 4096 })], 12_000))).toBeUndefined();
  });

  it('says nothing where it is the one in memory', () => {
    expect(withSentContext(small, MODEL, 4096, 1_000)).toBe(small);
    expect(withSentContext(sent, MODEL, 8192, 1_500)).toBe(sent);
  });

  it('goes back with the next request', () => {
    expect(context(withSentContext(sent, MODEL, 2048, 1_500))).toBe(2048);
  });

  it('is not noted for a model that is in memory by another name', () => {
    const copied: Observation = {
      kind: 'tags',
      models: [onDisk(MODEL), { ...onDisk('copy:latest'), digest: onDisk(MODEL).digest }],
      rttMs: 1,
    };
    const both = observe(small, copied, DEFAULT_HEALTH, 1_000);
    expect(withSentContext(both, 'copy:latest', 8192, 1_500)).toBe(both);
  });

  it('is remembered of some models only', () => {
    let node = small;
    for (let i = 0; i < 100; i += 1) node = withSentContext(node, `m${i}:latest`, 8192, 1_000 + i);
    expect(node.sentContexts?.size).toBe(64);
    expect(node.sentContexts?.has('m99:latest')).toBe(true);
  });
});
