import { describe, expect, it } from 'vitest';
import { LeaseLedger } from '../../../src/fleet/ledger.ts';
import type { NodeView } from '../../../src/fleet/types.ts';
import { RouterError } from '../../../src/request/errors.ts';
import type { RouteRequest } from '../../../src/request/types.ts';
import { DEFAULT_ROUTING as P } from '../../../src/routing/params.ts';
import { rank } from '../../../src/routing/rank.ts';
import type { Inflight, Ranking } from '../../../src/routing/types.ts';
import {
  ending,
  GIB,
  MODEL,
  NOW,
  noChance,
  node,
  onDisk,
  request,
  resident,
  running,
  situation,
  snapshot,
  warmNode,
} from './builders.ts';

function ranked(
  nodes: NodeView[],
  inflight: Inflight = running(),
  asked: RouteRequest = request(),
  random = noChance,
): Ranking {
  return rank(asked, situation(snapshot(...nodes), { inflight, random }));
}

const ids = (ranking: Ranking): string[] => ranking.nodes.map(({ id }) => id);

function refusal(nodes: NodeView[], asked: RouteRequest = request()): RouterError {
  try {
    ranked(nodes, running(), asked);
  } catch (error) {
    if (error instanceof RouterError) return error;
  }
  throw new Error('was not refused');
}

describe('the order', () => {
  const big = resident('other', { vramBytes: 20 * GIB, sizeBytes: 20 * GIB });
  // A doubt about one of the best two, so that the list goes on after them.
  const idle = warmNode('n1', { failureRate: P.toleratedFailures + 0.001 });
  const busy = warmNode('n2');
  const beside = node('n3', { vramTotalBytes: 24 * GIB });
  const evicts = node('n4', { warm: [big], vramTotalBytes: 24 * GIB });
  const counts = running({ n2: { [MODEL]: 1 } });

  it('is warm and idle, warm and busy, loads beside others, must evict', () => {
    const params = { ...P, maxAttempts: 4 };
    const { nodes } = rank(
      request(),
      situation(snapshot(evicts, beside, busy, idle), { inflight: counts, params }),
    );
    expect(nodes.map(({ id, reason, isWarm }) => [id, reason, isWarm])).toEqual([
      ['n1', 'warm_idle', true],
      ['n2', 'warm_busy', true],
      ['n3', 'loads_beside', false],
      ['n4', 'loads_evicting', false],
    ]);
  });

  it('is one of seconds: a long queue on a warm node loses to a quick load elsewhere, a short one wins', () => {
    const long = ending({ n2: { [MODEL]: [14] } });
    const short = ending({ n2: { [MODEL]: [8] } });
    expect(ids(ranked([busy, beside], long))[0]).toBe('n3');
    expect(ids(ranked([busy, beside], short))[0]).toBe('n2');
    const slowDisk = node('n3', { loadBytesPerSecond: 10 * 1024 ** 2 });
    expect(ids(ranked([busy, slowDisk], long))[0]).toBe('n2');
  });

  it('looks at cold nodes even when as many warm ones as the list holds are found before them', () => {
    const warm = ['n1', 'n2', 'n3'].map((id) => warmNode(id));
    const ends = { [MODEL]: [20] };
    const queues = ending({ n1: ends, n2: ends, n3: ends });
    expect(ranked([...warm, node('n9')], queues).nodes[0]).toMatchObject({ id: 'n9', isWarm: false });
    expect(ids(ranked([...warm, node('n9')]))).not.toContain('n9');
  });

  it('prefers the node that is weighed as faster between two that are equal', () => {
    expect(ids(ranked([warmNode('n1'), warmNode('n2', { weight: 2 })]))[0]).toBe('n2');
  });

  it('puts suspect nodes last, unless the others are hugely worse', () => {
    const suspect = warmNode('n1', { status: 'suspect' });
    expect(ids(ranked([suspect, busy], counts))).toEqual(['n2', 'n1']);
    const hopeless = ending({ n2: { [MODEL]: [70] } });
    expect(ids(ranked([suspect, busy], hopeless))).toEqual(['n1', 'n2']);
  });

  it('F55 F58: a node that fails at once loses to one that has a queue', () => {
    const failsFast = warmNode('n1', { failureRate: 0.9 });
    expect(ids(ranked([failsFast, busy], ending({ n2: { [MODEL]: [30] } })))[0]).toBe('n2');
  });

  it('explains itself in terms that add up', () => {
    for (const { seconds, terms } of ranked([idle, busy, beside, evicts], counts).nodes) {
      const { roundTrip, slotWait, load, prompt, answer, eviction, trust } = terms;
      const sum = roundTrip + slotWait + load + prompt + P.answerShare * answer + eviction + trust;
      expect(Math.abs(sum - seconds)).toBeLessThanOrEqual(0.5);
    }
  });
});

describe('the list', () => {
  it('has at most maxAttempts nodes, and says who was left out', () => {
    const doubtful = { status: 'suspect' } as const;
    const nodes = [node('n1', doubtful), node('n2', doubtful), node('n3', doubtful)];
    const ranking = ranked([...nodes, node('n4', { ...doubtful, rttMs: 2_900 })]);
    expect(ids(ranking)).toHaveLength(3);
    expect(ranking.rejected).toEqual([{ id: 'n4', reason: 'list_full' }]);
  });

  it('goes on where the first two are on one other machine, which would take both with it', () => {
    const at = (first: string, second: string) =>
      ids(ranked([warmNode('n1', { address: first }), warmNode('n2', { address: second }), node('n3')]));
    expect(at('10.0.0.1:11434', '10.0.0.1:11435')).toHaveLength(3);
    expect(at('[fd00::1]:11434', '[fd00::1]:11435')).toHaveLength(3);
    expect(at('10.0.0.1:11434', '10.0.0.2:11434')).toHaveLength(2);
    expect(at('127.0.0.1:11434', '127.0.0.1:11435')).toHaveLength(2);
  });

  it('F57: names no third node while nothing speaks against the first two: one body kills no more than two', () => {
    const others = [node('n3'), node('n4')];
    expect(ids(ranked([warmNode('n1'), warmNode('n2'), ...others]))).toHaveLength(2);
    const doubts: Partial<NodeView>[] = [
      { failureRate: 0.1 },
      { residentAt: NOW - P.freshMs - 1 },
      { residentAt: undefined },
      { servedAt: undefined },
      { servedAt: NOW - P.provenMs - 1 },
      { stuckModels: new Map([[MODEL, { strikes: 2, until: NOW }]]) },
    ];
    for (const doubt of doubts)
      expect(ids(ranked([warmNode('n1'), { ...warmNode('n2', { rttMs: 0 }), ...doubt }]))).toHaveLength(2);
    for (const doubt of doubts)
      expect(
        ids(
          ranked([
            { ...warmNode('n2'), ...doubt },
            node('n3', { rttMs: 90_000 }),
            node('n4', { rttMs: 90_000 }),
          ]),
        ),
      ).toHaveLength(3);
  });

  it('leaves out the unfit, each with its reason', () => {
    const stuckModels = new Map([[MODEL, { strikes: 2, until: NOW + 1 }]]);
    const ranking = ranked([
      warmNode('n1', { status: 'draining' }),
      warmNode('n2', { status: 'down' }),
      warmNode('n3', { address: undefined }),
      warmNode('n4', { stuckModels }),
      node('n6'),
      node('n7', { models: [onDisk('another')] }),
    ]);
    expect(ids(ranking)).toEqual(['n6']);
    expect(ranking.rejected).toEqual([
      { id: 'n1', reason: 'draining' },
      { id: 'n2', reason: 'down' },
      { id: 'n3', reason: 'no_address' },
      { id: 'n4', reason: 'stuck' },
    ]);
  });

  it('stays small however many nodes are unfit', () => {
    const down = Array.from({ length: 200 }, (_, i) => node(`n${i + 2}`, { status: 'down' }));
    expect(ranked([warmNode('n1'), ...down]).rejected.length).toBeLessThanOrEqual(16);
  });

  it('is ordered by chance among equals, and only among them', () => {
    const draws = [0.9, 0.1, 0.5];
    let at = 0;
    const random = (): number => draws[at++ % 3] ?? 0;
    const nodes = [warmNode('n1'), warmNode('n2'), warmNode('n3')];
    expect(ids(ranked(nodes, running(), request(), random))).toEqual(['n2', 'n3']);
    const unequal = [warmNode('n1', { rttMs: 600 }), warmNode('n2', { rttMs: 300 }), warmNode('n3')];
    at = 0;
    expect(ids(ranked(unequal, running(), request(), random))).toEqual(['n3', 'n2']);
  });

  it('spreads equal requests evenly', () => {
    let seed = 7;
    const random = (): number => {
      seed = (seed * 16_807) % 2_147_483_647;
      return seed / 2_147_483_647;
    };
    const nodes = [warmNode('n1'), warmNode('n2'), warmNode('n3')];
    const firsts = new Map<string, number>();
    for (let i = 0; i < 3_000; i += 1) {
      const [first = ''] = ids(ranked(nodes, running(), request(), random));
      firsts.set(first, (firsts.get(first) ?? 0) + 1);
    }
    for (const count of firsts.values()) expect(count).toBeGreaterThan(900);
    expect(firsts.size).toBe(3);
  });
});

describe('stuck models', () => {
  const stuck = (until: number) => new Map([[MODEL, { strikes: 2, until }]]);

  it('F53: are probed by one request at a time once their time is over', () => {
    const view = warmNode('n1', { stuckModels: stuck(NOW) });
    const other = node('n2');
    expect(ids(ranked([view, other]))).toContain('n1');
    expect(ids(ranked([view, other], running({ n1: { [MODEL]: 1 } })))).toEqual(['n2']);
  });

  it('F53: do not concern other models of the node, nor its descriptions', () => {
    const view = warmNode('n1', { models: [onDisk(MODEL), onDisk('b')], stuckModels: stuck(NOW + 9) });
    const asked = request({ model: { raw: 'b', key: 'b' } });
    expect(ranked([view], running(), asked).nodes[0]?.reason).not.toBe('last_resort');
    expect(ranked([view], running(), request({ operation: 'show' })).nodes[0]?.reason).toBe('any');
  });
});

describe('no fit node', () => {
  it('F69: tries those that are down or stuck, the likelier first', () => {
    const stuckModels = new Map([[MODEL, { strikes: 2, until: NOW + 1 }]]);
    const ranking = ranked([
      warmNode('n1', { status: 'down' }),
      warmNode('n2', { stuckModels }),
      warmNode('n3', { status: 'draining' }),
    ]);
    expect(ranking.nodes.map(({ id, reason }) => [id, reason])).toEqual([
      ['n2', 'last_resort'],
      ['n1', 'last_resort'],
    ]);
    expect(ranking.rejected).toEqual([{ id: 'n3', reason: 'draining' }]);
  });

  it('F29: a fleet of which nothing was ever seen is asked all the same', () => {
    const unseen = { models: [], residentAt: undefined, tagsAt: undefined } as const;
    const ranking = ranked([
      node('n1', { ...unseen, status: 'unknown' }),
      node('n2', { ...unseen, status: 'down' }),
      node('n3', { ...unseen, status: 'unknown', address: undefined }),
    ]);
    expect(ranking.nodes.map(({ id, reason }) => [id, reason])).toEqual([
      ['n1', 'last_resort'],
      ['n2', 'last_resort'],
    ]);
  });

  it('F29: a node whose tag list is still to come may have what the others lack', () => {
    const unseen = { models: [], residentAt: undefined, tagsAt: undefined } as const;
    const others = [onDisk('another')];
    const seen = node('n1', { models: others });
    expect(ids(ranked([seen, node('n2', { ...unseen, status: 'unknown' })]))).toEqual(['n2']);
    expect(refusal([seen, node('n2', { ...unseen, status: 'down' })]).code).toBe('model_not_found');
  });

  it('is a 503 with Retry-After while those that know the model drain or have no address', () => {
    const error = refusal([
      warmNode('n1', { status: 'draining' }),
      warmNode('n2', { address: undefined }),
      node('n3', { models: [] }),
    ]);
    expect(error.code).toBe('no_node');
    expect(error.retryAfterSeconds).toBeGreaterThan(0);
    expect(error.message).toMatch(/now$/);
    expect(refusal([]).code).toBe('no_node');
  });

  it('says so when all that know the model are being drained, which are never used, not even as a last resort', () => {
    const error = refusal([
      warmNode('n1', { status: 'draining' }),
      warmNode('n2', { status: 'draining' }),
      node('n3', { models: [] }),
    ]);
    expect(error.code).toBe('no_node');
    expect(error.message).toMatch(/now: every node that has it is being drained$/);
  });
});

describe('an unknown model', () => {
  const other = node('n1', { models: [onDisk('another')] });
  const nope = { raw: 'nope', key: 'nope:latest' };

  it.each([
    { path: '/api/chat', family: 'ollama', operation: 'chat', want: "model 'nope' not found" },
    { path: '/api/show', family: 'ollama', operation: 'show', want: "model 'nope' not found" },
    {
      path: '/api/embed',
      family: 'ollama',
      operation: 'embed',
      want: 'model "nope" not found, try pulling it first',
    },
    {
      path: '/api/embeddings',
      family: 'ollama',
      operation: 'embed',
      want: 'model "nope" not found, try pulling it first',
    },
    {
      path: '/v1/embeddings',
      family: 'openai',
      operation: 'embed',
      want: 'model "nope" not found, try pulling it first',
    },
    { path: '/v1/messages', family: 'anthropic', operation: 'chat', want: "model 'nope' not found" },
  ] as const)('is refused on $path as Ollama words it', ({ want, ...endpoint }) => {
    const error = refusal([other], request({ model: nope, ...endpoint }));
    expect(error.code).toBe('model_not_found');
    expect(error.message).toBe(want);
  });

  it('is echoed by at most 80 characters', () => {
    const raw = 'x'.repeat(500);
    const error = refusal([other], request({ model: { raw, key: `${raw}:latest` } }));
    expect(error.message.length).toBeLessThan(110);
  });
});

/** Requests that come at once: those whose best node may begin take a lease there, the others wait in the line. */
function burst(count: number, nodes: NodeView[]): { counts: Map<string, number>; waiting: number } {
  const ledger = new LeaseLedger();
  const view = snapshot(...nodes);
  let waiting = 0;
  for (let i = 0; i < count; i += 1) {
    const ahead = waiting;
    const given = situation(view, { inflight: ledger, waiting: { ahead: () => ahead } });
    const [first] = rank(request(), given).nodes;
    if (first?.startsNow) {
      const end = NOW + (first.terms.slotWait + first.heldSeconds) * 1000;
      ledger.take(`r${i}`, first.id, MODEL, NOW, end);
    } else waiting += 1;
  }
  return { counts: new Map(nodes.map(({ id }) => [id, ledger.onNode(id)])), waiting };
}

describe('F62: a burst for one cold model', () => {
  const cold = (count: number, fields = {}): NodeView[] =>
    Array.from({ length: count }, (_, i) => node(`n${i + 1}`, fields));
  const used = ({ counts }: ReturnType<typeof burst>): number =>
    [...counts.values()].filter((c) => c > 0).length;

  it('of a few requests loads it on one node', () => {
    expect(used(burst(2, cold(5)))).toBe(1);
    expect(used(burst(5, cold(5, { slots: 4 })))).toBe(1);
  });

  it('of many requests loads it on two: the rest wait for them', () => {
    const result = burst(16, cold(5, { models: [onDisk(MODEL, { sizeBytes: 40 * GIB })], slots: 4 }));
    expect(used(result)).toBe(2);
    expect([...result.counts.values()].sort((a, b) => b - a).slice(0, 2)).toEqual([4, 4]);
    expect(result.waiting).toBe(8);
  });

  it('still names nodes to fail over to', () => {
    const loading = running({ n1: { [MODEL]: 3 } });
    const { nodes } = ranked(cold(3, { failureRate: 0.06, slots: 4 }), loading);
    expect(nodes.map(({ reason }) => reason)).toEqual(['loading', 'loads_beside', 'loads_beside']);
  });
});

describe('F68: a node that comes back', () => {
  it('is never given more than its share of the slots, and climbs', () => {
    const peak = (admission: number, requests: number): number => {
      const nodes = Array.from({ length: 10 }, (_, i) => warmNode(`n${i + 1}`, { slots: 8 }));
      nodes[0] = warmNode('n1', { slots: 8, admission });
      return burst(requests, nodes).counts.get('n1') ?? 0;
    };
    expect(peak(0.1, 500)).toBe(1);
    expect(peak(0.5, 500)).toBe(4);
    expect(peak(1, 500)).toBe(8);
    expect(peak(0.5, 30)).toBeLessThan(4);
  });
});

describe('a large fleet', () => {
  it('finds its one warm node, and its one loading node, among thousands', () => {
    const nodes = Array.from({ length: 3_000 }, (_, i) => node(`n${i}`));
    nodes[2_750] = warmNode('n2750');
    expect(ids(ranked(nodes))[0]).toBe('n2750');
    nodes[2_750] = node('n2750');
    expect(ids(ranked(nodes, running({ n2750: { [MODEL]: 1 } }), request({ operation: 'embed' })))[0]).toBe(
      'n2750',
    );
  });
});
