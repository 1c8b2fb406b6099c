import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { NodeView } from '../../../src/fleet/types.ts';
import { RouterError } from '../../../src/request/errors.ts';
import { DEFAULT_ROUTING } from '../../../src/routing/params.ts';
import { rank } from '../../../src/routing/rank.ts';
import type { Situation } from '../../../src/routing/types.ts';
import { NOW, node, request, running, situation, snapshot, warmNode } from './builders.ts';

function ranked(nodes: NodeView[], among: readonly string[] | undefined, fields: Partial<Situation> = {}) {
  const asked = request(among === undefined ? {} : { among: new Set(among) });
  return rank(asked, situation(snapshot(...nodes), fields)).nodes.map(({ id }) => id);
}

function refusal(nodes: NodeView[], among: readonly string[]): RouterError {
  try {
    ranked(nodes, among);
  } catch (error) {
    if (error instanceof RouterError) return error;
    throw error;
  }
  throw new Error('it was ranked');
}

describe('nodes that the proxy allows', () => {
  it('are the only ones in the ranking, however much better the others are', () => {
    expect(ranked([warmNode('n1'), warmNode('n2'), node('n3')], ['10.0.0.3:11434'])).toEqual(['n3']);
  });

  it('may be named without a port: every port of the machine', () => {
    const both = [
      node('n1', { address: '10.0.0.9:1' }),
      node('n2', { address: '10.0.0.9:2' }),
      warmNode('n3'),
    ];
    expect(ranked(both, ['10.0.0.9']).toSorted()).toEqual(['n1', 'n2']);
    const v6 = [node('n1', { address: '[fd00::1]:1' }), warmNode('n2')];
    expect(ranked(v6, ['[fd00::1]'])).toEqual(['n1']);
  });

  it.each([
    { kind: 'warm', make: warmNode },
    { kind: 'cold', make: node },
  ])('are found among thousands of $kind ones', ({ make }) => {
    const crowd = Array.from({ length: 5_000 }, (_, i) =>
      make(`n${i}`, { address: `10.1.${i >> 8}.${i & 255}:80` }),
    );
    for (const lone of [0, 1_234, 4_999]) {
      const at = crowd[lone]?.address ?? '';
      expect(ranked(crowd, [at])).toEqual([`n${lone}`]);
      expect(ranked(crowd, ['10.9.9.9:80', at, '10.1.300.1:80'])).toEqual([`n${lone}`]);
    }
  });

  it('are found where they load the model, behind any number of others that do', () => {
    const crowd = Array.from({ length: 3_000 }, (_, i) =>
      node(`n${i}`, { address: `10.1.${i >> 8}.${i & 255}:80` }),
    );
    const inflight = running(Object.fromEntries(crowd.map(({ id }) => [id, { 'm:latest': 1 }])));
    const asked = request({ among: new Set(['10.1.11.183:80', '10.1.0.0:80']) });
    const { nodes } = rank(asked, situation(snapshot(...crowd), { inflight }));
    expect(nodes.map(({ id }) => id).toSorted()).toEqual(['n0', 'n2999']);
    expect(nodes.map(({ reason }) => reason)).toEqual(['loading', 'loading']);
  });

  it('are taken as a last resort rather than a healthy one that is not allowed', () => {
    expect(ranked([warmNode('n1'), node('n2', { status: 'down' })], ['10.0.0.2:11434'])).toEqual(['n2']);
  });

  it('are asked although no tag list of theirs was ever read, where others are known to have the model', () => {
    const fresh = node('n2', { models: [], tagsAt: undefined, status: 'unknown' });
    expect(ranked([warmNode('n1'), fresh], ['10.0.0.2:11434'])).toEqual(['n2']);
    expect(ranked([warmNode('n1'), { ...fresh, status: 'down' }], ['10.0.0.2:11434'])).toEqual(['n2']);
    expect(ranked([warmNode('n1'), fresh], undefined)).toEqual(['n1']);
  });

  it('are refused with 503 in mind, not 404, where none of them has the model or may take a request', () => {
    for (const unfit of [node('n2', { models: [] }), node('n2', { status: 'draining' })]) {
      const error = refusal([warmNode('n1'), unfit], ['10.0.0.2:11434']);
      expect(error).toMatchObject({ code: 'no_node', retryAfterSeconds: 2 });
    }
    expect(refusal([warmNode('n1')], ['10.0.0.7:11434'])).toMatchObject({
      code: 'no_node',
      message: "no node can serve model 'm' now: the proxy allows other nodes only",
    });
    expect(refusal([], ['10.0.0.7:11434']).code).toBe('no_node');
  });

  it('still say that nobody has a model that nobody has', () => {
    const without = [node('n1', { models: [] }), node('n2', { models: [] })];
    expect(refusal(without, ['10.0.0.2:11434']).code).toBe('model_not_found');
  });

  it('are looked for again when the fleet has changed', () => {
    const among = new Set(['10.0.0.1:11434', '10.0.0.2:11434']);
    const asked = request({ among });
    const over = (...nodes: NodeView[]) =>
      rank(asked, situation(snapshot(...nodes))).nodes.map(({ id }) => id);
    expect(over(warmNode('n1'), warmNode('n3'))).toEqual(['n1']);
    expect(over(warmNode('n1', { address: '10.0.0.9:1' }), warmNode('n2'))).toEqual(['n2']);
    expect(over(node('n1', { models: [] }), warmNode('n2'))).toEqual(['n2']);
  });

  it('are ranked as if there were no others', () => {
    const params = {
      ...DEFAULT_ROUTING,
      maxColdNodes: 8,
      maxWarmNodes: 8,
      sampledNodes: 3,
      maxRunningNodes: 4,
    };
    const kinds = fc.array(
      fc.record({ warm: fc.boolean(), down: fc.boolean(), busy: fc.nat(3), allowed: fc.boolean() }),
      { minLength: 1, maxLength: 24 },
    );
    fc.assert(
      fc.property(kinds, (all) => {
        const fleet = all.map(({ warm, down }, i) =>
          (warm ? warmNode : node)(`n${i + 1}`, { status: down ? 'down' : 'ready', slots: 2 }),
        );
        const allowed = fleet.filter((_, i) => all[i]?.allowed);
        if (allowed.length === 0 || allowed.length > 8) return;
        const fieldsOf = (nodes: NodeView[]) => {
          const busyOf = (id: string) => all[Number(id.slice(1)) - 1]?.busy ?? 0;
          const inflight = running(
            Object.fromEntries(nodes.map(({ id }) => [id, { 'm:latest': busyOf(id) }])),
          );
          return { inflight, params, now: NOW, waiting: { ahead: () => 3 } };
        };
        const addresses = allowed.map(({ address = '' }) => address);
        const alone = ranked(allowed, undefined, fieldsOf(allowed));
        expect(ranked(fleet, addresses, fieldsOf(fleet))).toEqual(alone);
      }),
    );
  });
});
