import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { buildSnapshot } from '../../../src/fleet/snapshot.ts';
import type { Gpu, GpuReport } from '../../../src/fleet/types.ts';
import { GIB, NodeLife, resident } from './builders.ts';

const VALID_MS = 15_000;

function gpu(fields: Partial<Gpu> = {}): Gpu {
  return {
    index: 0,
    name: 'RTX 4090',
    vendor: 'nvidia',
    vramTotalBytes: 24 * GIB,
    vramUsedBytes: undefined,
    utilization: undefined,
    temperatureC: undefined,
    powerW: undefined,
    isThrottled: undefined,
    ...fields,
  };
}

function report(source: GpuReport['source'], gpus: readonly Gpu[], parallel?: number): GpuReport {
  const ollama = { parallel, maxLoadedModels: undefined, maxQueue: undefined };
  return { source, validForMs: VALID_MS, gpus, isUnifiedMemory: false, host: undefined, ollama };
}

function viewOf(node: NodeLife) {
  const view = buildSnapshot([node.record], 1, node.now, node.params).nodes[0];
  if (view === undefined) throw new Error('no view');
  return view;
}

function life(fields: ConstructorParameters<typeof NodeLife>[0] = {}) {
  const node = new NodeLife(fields);
  const says = (...args: Parameters<typeof report>) => node.see({ kind: 'gpu', report: report(...args) });
  return { node, says };
}

describe('VRAM', () => {
  it('is told by the agent before the exporter, by the exporter before the configuration', () => {
    const { node, says } = life({ vramBytes: 10 * GIB });
    expect(viewOf(node)).toMatchObject({ vramTotalBytes: 10 * GIB, vramSource: 'configured' });
    says('prometheus', [gpu({ vramTotalBytes: 16 * GIB })]);
    expect(viewOf(node)).toMatchObject({ vramTotalBytes: 16 * GIB, vramSource: 'prometheus' });
    node.wait(1_000);
    says('agent', [gpu(), gpu({ index: 1, vramTotalBytes: 8 * GIB })]);
    expect(viewOf(node)).toMatchObject({ vramTotalBytes: 32 * GIB, vramSource: 'agent', vramAt: 1_000 });
  });

  it('falls back source by source as reports grow old, though nothing else changes', () => {
    const { node, says } = life({ vramBytes: 10 * GIB });
    says('prometheus', [gpu({ vramTotalBytes: 16 * GIB })]);
    node.wait(VALID_MS);
    expect(viewOf(node).vramSource).toBe('prometheus');
    node.wait(1);
    expect(viewOf(node)).toMatchObject({ vramSource: 'configured', vramAt: undefined });
  });

  it('of a GPU that does not tell it counts for nothing, and a report without any is passed over', () => {
    const { node, says } = life({ vramBytes: 10 * GIB });
    says('agent', [gpu(), gpu({ index: 1, vramTotalBytes: undefined })]);
    expect(viewOf(node).vramTotalBytes).toBe(24 * GIB);
    says('agent', [gpu({ vramTotalBytes: undefined })]);
    expect(viewOf(node)).toMatchObject({ vramTotalBytes: 10 * GIB, vramSource: 'configured' });
    says('agent', []);
    expect(viewOf(node).vramSource).toBe('configured');
  });

  it('taken by other programs counts as used, and never less than the models take', () => {
    const { node, says } = life();
    node.polled(resident('a', { vramBytes: 6 * GIB }));
    says('agent', [gpu({ vramUsedBytes: 20 * GIB })]);
    expect(viewOf(node).vramUsedBytes).toBe(20 * GIB);
    says('agent', [gpu({ vramUsedBytes: GIB })]);
    expect(viewOf(node).vramUsedBytes).toBe(6 * GIB);
    says('agent', [gpu({ vramUsedBytes: 20 * GIB })]);
    node.wait(VALID_MS + 1);
    expect(viewOf(node).vramUsedBytes).toBe(6 * GIB);
  });

  it('is never negative or of an unnamed source, whatever was reported', () => {
    const figure = fc.option(fc.double({ min: -1e12, max: 1e18, noNaN: true }), { nil: undefined });
    const gpus = fc.array(fc.record({ total: figure, used: figure }), { maxLength: 4 });
    fc.assert(
      fc.property(gpus, fc.boolean(), fc.nat({ max: 30_000 }), (list, isAgent, waited) => {
        const { node, says } = life();
        says(
          isAgent ? 'agent' : 'prometheus',
          list.map(({ total, used }, index) => gpu({ index, vramTotalBytes: total, vramUsedBytes: used })),
        );
        const view = viewOf(node.wait(waited));
        expect(view.vramUsedBytes).toBeGreaterThanOrEqual(0);
        if (view.vramSource === 'unknown') expect(view.vramTotalBytes).toBeUndefined();
        else expect(view.vramTotalBytes).toBeGreaterThan(0);
        if (waited > VALID_MS) expect(view.vramSource).toBe('unknown');
      }),
      { numRuns: 500 },
    );
  });
});

describe('slots', () => {
  it('are the configured ones, else what the agent knows of Ollama, else learnt', () => {
    const { node, says } = life();
    node.served({ concurrency: 2 });
    expect(viewOf(node)).toMatchObject({ slots: 2, slotsSource: 'learnt' });
    says('agent', [], 4);
    expect(viewOf(node)).toMatchObject({ slots: 4, slotsSource: 'agent' });
    node.wait(VALID_MS + 1);
    expect(viewOf(node)).toMatchObject({ slots: 2, slotsSource: 'learnt' });
    const set = life({ slots: 8 });
    set.says('agent', [], 4);
    expect(viewOf(set.node)).toMatchObject({ slots: 8, slotsSource: 'configured' });
  });
});

it('a throttled GPU shows on its node while the report is fresh', () => {
  const { node, says } = life();
  says('agent', [gpu(), gpu({ index: 1, isThrottled: true })]);
  expect(viewOf(node).isThrottled).toBe(true);
  node.wait(VALID_MS + 1);
  expect(viewOf(node).isThrottled).toBe(false);
});

describe('learnt VRAM', () => {
  /** 10:00:00 by the node's clock at 0 monotonic ms. */
  const NODE_START = Date.UTC(2026, 8, 1, 10) / 1000;
  const LATER = '2026-09-01T10:05:00Z';
  const model = (key: string, gib: number, expiresAt = LATER) =>
    resident(key, { vramBytes: gib * GIB, expiresAt });
  const poll = (node: NodeLife, ...models: ReturnType<typeof model>[]) =>
    node.wait(1_000).see({ kind: 'resident', models, rttMs: 1, nodeTime: NODE_START + node.now / 1000 });

  it('is unknown while everything fits', () => {
    const node = new NodeLife();
    poll(node, model('a', 10));
    poll(node, model('a', 10), model('b', 5));
    expect(viewOf(node)).toMatchObject({ vramSource: 'unknown', maxVramSeenBytes: 15 * GIB });
  });

  it('is what was seen to fit, once a load drove a model out before its time', () => {
    const node = new NodeLife();
    poll(node, model('a', 10), model('b', 5));
    poll(node, model('b', 5));
    poll(node, model('b', 5), model('c', 8));
    expect(node.record.learnt.vramCeilingBytes).toBe(23 * GIB);
    expect(viewOf(node)).toMatchObject({ vramTotalBytes: 15 * GIB, vramSource: 'learnt' });
  });

  it.each([
    ['its time was up', (node: NodeLife) => void poll(node, model('a', 10, '2026-09-01T10:00:02Z')), 'b', 0],
    ['it returned itself, loaded anew', (node: NodeLife) => void poll(node, model('a', 10)), 'a', 0],
    ['the other came much later', (node: NodeLife) => void poll(node, model('a', 10)), 'b', 11_000],
  ])('learns nothing from a model that went where %s', (_why, first, next, pause) => {
    const node = new NodeLife();
    first(node);
    poll(node);
    node.wait(pause);
    poll(node, model(next, 8));
    expect(node.record.learnt.vramCeilingBytes).toBeUndefined();
    expect(viewOf(node).vramSource).toBe('unknown');
  });

  it('learns nothing from a node that does not tell its time', () => {
    const node = new NodeLife().polled(model('a', 10)).polled(model('b', 8));
    expect(node.record.learnt.vramCeilingBytes).toBeUndefined();
  });

  it('gives the bound up when something larger is seen to fit: the number of models was the limit', () => {
    const node = new NodeLife();
    poll(node, model('a', 4));
    poll(node, model('b', 5));
    expect(viewOf(node).vramSource).toBe('learnt');
    poll(node, model('c', 20));
    expect(viewOf(node)).toMatchObject({ vramSource: 'unknown', maxVramSeenBytes: 20 * GIB });
  });

  it('counts each going once', () => {
    const node = new NodeLife();
    poll(node, model('a', 10));
    poll(node, model('b', 12));
    poll(node, model('b', 12), model('c', 1));
    expect(node.record.learnt.vramCeilingBytes).toBe(22 * GIB);
  });
});
