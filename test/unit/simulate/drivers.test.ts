import { describe, expect, it } from 'vitest';
import type { RivalPolicy } from '../../../src/routing/rivals/types.ts';
import { ClairvoyantDriver, type Foresight } from '../../../src/simulate/drivers/clairvoyant/clairvoyant.ts';
import { RivalDriver } from '../../../src/simulate/drivers/rival.ts';
import { WarmpathDriver } from '../../../src/simulate/drivers/warmpath.ts';
import { Simulation } from '../../../src/simulate/engine/engine.ts';
import type { Scenario, SimDriver, SimHost, SimResult } from '../../../src/simulate/types.ts';
import { buildScenario } from '../../../src/simulate/workload.ts';
import type { Workload } from '../../../src/simulate/workload-types.ts';
import { lengths, stream, workload } from './scenario-builders.ts';

const run = (scenario: Scenario, driver: (host: SimHost) => SimDriver): SimResult =>
  new Simulation({ scenario, seed: 1, driver }).run();
const build = (fields: Partial<Workload>): Scenario => buildScenario(workload(fields), 1);
const once = (name: string, atMs: number, count: number, fields: Parameters<typeof stream>[0] = {}) =>
  stream({ name, arrivals: { kind: 'once', atMs, count }, ...fields });
const nodesOf = ({ outcomes }: SimResult) => outcomes.map(({ node }) => node);

/** A rival that prefers nodes in the order given. */
function preferring(order: readonly string[], fields: Partial<RivalPolicy> = {}): RivalPolicy {
  return {
    name: 'random',
    queue: 'node',
    choose: (_request, { fit }) => order.find((id) => fit.some((node) => node.id === id)) ?? fit[0]?.id ?? '',
    ...fields,
  };
}

describe('a rival', () => {
  it('that queues at nodes dispatches at once', () => {
    const result = run(
      build({ streams: [once('x', 1_000, 3)] }),
      (host) => new RivalDriver(host, preferring(['n2'])),
    );
    expect(result.outcomes.map(({ node, startedAt }) => [node, startedAt])).toEqual(
      Array(3).fill(['n2', 1_000]),
    );
  });

  it('that queues for each node and model hands over as many as there are slots', () => {
    const policy = preferring(['n2'], { queue: 'per_node_model' });
    const { outcomes } = run(
      build({ streams: [once('x', 1_000, 3)] }),
      (host) => new RivalDriver(host, policy),
    );
    expect(outcomes.map(({ node }) => node)).toEqual(['n2', 'n2', 'n2']);
    const starts = outcomes.map(({ startedAt = 0 }) => startedAt);
    expect(starts[0]).toBe(1_000);
    expect(starts[1]).toBe(outcomes[0]?.endedAt);
    expect(starts[2]).toBe(outcomes[1]?.endedAt);
  });

  it('moves what waits in a long queue to a node that has the model in memory', () => {
    const rebalance = { everyMs: 5_000, from: 4, most: 3 };
    const scenario = build({ streams: [once('warm', 0, 2), once('x', 20_000, 8, { answer: lengths(600) })] });
    let asked = 0;
    const choose: RivalPolicy['choose'] = () => (asked++ === 0 ? 'n1' : 'n2');
    const alone = run(
      scenario,
      (host) => new RivalDriver(host, preferring([], { queue: 'per_node_model', choose })),
    );
    asked = 0;
    const moved = run(
      scenario,
      (host) => new RivalDriver(host, preferring([], { queue: 'per_node_model', choose, rebalance })),
    );
    expect(nodesOf(alone).filter((node) => node === 'n1')).toHaveLength(1);
    expect(nodesOf(moved).filter((node) => node === 'n1').length).toBeGreaterThanOrEqual(3);
  });

  it('with one line gives a free slot to whom its policy names', () => {
    const seen: string[][] = [];
    const policy = preferring(['n2', 'n1'], {
      queue: 'central',
      next: (node, waiting, waitedMs, _situation, callers) => {
        seen.push([...callers]);
        expect(waiting).toHaveLength(waitedMs.length);
        return node.id === 'n2' ? waiting.length - 1 : undefined;
      },
    });
    const scenario = build({ streams: [once('x', 1_000, 5, { callers: 5 })] });
    const { outcomes } = run(scenario, (host) => new RivalDriver(host, policy));
    // n2 has one slot and n1 two: two of five wait, and the last comes before the one before it.
    expect(outcomes.slice(0, 3).map(({ startedAt }) => startedAt)).toEqual([1_000, 1_000, 1_000]);
    expect(outcomes[4]?.startedAt).toBeLessThan(outcomes[3]?.startedAt ?? 0);
    expect(seen[0]).toHaveLength(2);
  });

  it('tries other nodes when one fails before its first byte, and leaves it out then', () => {
    const scenario = build({
      streams: [once('x', 1_000, 1), once('y', 3_000, 1)],
      events: [{ kind: 'down', at: 900, node: 'n2' }],
    });
    const { outcomes } = run(scenario, (host) => new RivalDriver(host, preferring(['n2', 'n1'])));
    expect(outcomes.map(({ end, node }) => [end, node])).toEqual(Array(2).fill(['served', 'n1']));
    expect(outcomes[0]?.attempts).toBe(2);
  });

  it('waits for a node to come up where none can take the request', () => {
    const scenario = build({
      streams: [once('x', 10_000, 1)],
      events: ['n1', 'n2'].flatMap((node) => [
        { kind: 'down', at: 1_000, node } as const,
        { kind: 'up', at: 30_000, node } as const,
      ]),
    });
    const { outcomes } = run(scenario, (host) => new RivalDriver(host, preferring(['n1'])));
    expect(outcomes[0]?.end).toBe('served');
    expect(outcomes[0]?.startedAt).toBeGreaterThan(30_000);
  });
});

describe('Warmpath', () => {
  it('goes on to the next node of its list when one refuses or fails', () => {
    const scenario = build({
      streams: [once('x', 30_000, 1), once('y', 60_000, 1)],
      // Just before the request comes: no poll has told of it.
      events: [
        { kind: 'down', at: 29_999, node: 'n1' },
        { kind: 'fails', at: 59_999, node: 'n2', share: 1 },
        { kind: 'up', at: 31_000, node: 'n1' },
      ],
    });
    const { outcomes } = run(scenario, (host) => new WarmpathDriver(host));
    expect(outcomes.map(({ end }) => end)).toEqual(['served', 'served']);
    expect(outcomes[1]?.node).toBe('n1');
    expect(outcomes[1]?.attempts).toBe(2);
  });

  it('tells the client when all nodes have failed', () => {
    const scenario = build({
      streams: [once('x', 30_000, 1)],
      events: ['n1', 'n2'].map((node) => ({ kind: 'fails', at: 0, node, share: 1 }) as const),
    });
    const { outcomes } = run(scenario, (host) => new WarmpathDriver(host));
    expect(outcomes[0]).toMatchObject({ end: 'failed', attempts: 2 });
  });

  it('keeps to a node that has the model in memory', () => {
    const scenario = build({ streams: [stream({ arrivals: { kind: 'poisson', perSecond: 0.1 } })] });
    const result = run(scenario, (host) => new WarmpathDriver(host));
    expect(result.loads).toBe(1);
    expect(new Set(nodesOf(result)).size).toBe(1);
  });

  it('makes requests of several contexts share one load', () => {
    const contexts = [2_048, 4_096, undefined].map((value) => ({ value, weight: 1 }));
    const scenario = build({
      streams: [stream({ arrivals: { kind: 'poisson', perSecond: 0.2 }, contexts })],
    });
    expect(run(scenario, (host) => new WarmpathDriver(host)).loads).toBeLessThanOrEqual(3);
  });

  it('lets requests wait in its line, not at nodes, and refuses who cannot be served in time', () => {
    const scenario = build({
      streams: [once('x', 10_000, 40, { maxWaitMs: 20_000, answer: lengths(300) })],
    });
    const { outcomes } = run(scenario, (host) => new WarmpathDriver(host));
    const served = outcomes.filter(({ end }) => end === 'served');
    const refused = outcomes.filter(({ end }) => end === 'refused');
    expect(served.length + refused.length).toBe(40);
    expect(refused.length).toBeGreaterThan(0);
    for (const { arrivedAt, endedAt } of refused) expect(endedAt - arrivedAt).toBeLessThanOrEqual(20_001);
    const late = served.filter(({ startedAt = 0 }) => startedAt > 11_000);
    expect(late.length).toBeGreaterThan(5);
  });

  it('lets go of requests whose client hangs up in the line', () => {
    const scenario = build({ streams: [once('x', 10_000, 12, { patienceMs: 6_000, answer: lengths(400) })] });
    const { outcomes } = run(scenario, (host) => new WarmpathDriver(host));
    const left = outcomes.filter(({ end }) => end === 'left');
    expect(left.length).toBeGreaterThan(3);
    for (const { endedAt } of left) expect(endedAt).toBe(16_000);
  });
});

describe('the clairvoyant', () => {
  const foresight: Foresight = {
    answerShare: 0.1,
    evictionWeight: 1,
    sharesContext: true,
    order: 'arrival',
    prefetches: false,
  } as const;
  const see = (scenario: Scenario, fields: Partial<Foresight> = {}): SimResult =>
    run(scenario, (host) => new ClairvoyantDriver(host, 'clairvoyant', { ...foresight, ...fields }));

  it('never lets a request wait beside a free warm slot', () => {
    const result = see(build({ streams: [stream({ arrivals: { kind: 'poisson', perSecond: 0.5 } })] }));
    expect(result.wasteMs / result.outcomes.length).toBeLessThan(20);
  });

  it('loads once what will be asked for with several contexts', () => {
    const contexts = [2_048, 8_192, 4_096].map((value) => ({ value, weight: 1 }));
    const result = see(
      build({ streams: [stream({ arrivals: { kind: 'poisson', perSecond: 0.2 }, contexts })] }),
    );
    expect(result.loads).toBe(1);
  });

  it('may have loaded what will be asked for before it is', () => {
    const scenario = build({ streams: [once('x', 60_000, 1)] });
    const firstMs = ({ outcomes }: SimResult): number => (outcomes[0]?.firstTokenAt ?? 0) - 60_000;
    const [asked, before] = [see(scenario), see(scenario, { prefetches: true })];
    expect(firstMs(asked)).toBeGreaterThan(1_900);
    expect(firstMs(before)).toBeLessThan(200);
    expect([asked.loads, before.loads]).toEqual([1, 1]);
  });

  it('may take the short ones first', () => {
    const scenario = build({
      streams: [
        once('long', 10_000, 6, { answer: lengths(500) }),
        once('short', 10_001, 6, { answer: lengths(10) }),
      ],
    });
    const lastShort = ({ outcomes }: SimResult): number =>
      Math.max(...outcomes.slice(6).map(({ firstTokenAt = 0 }) => firstTokenAt));
    expect(lastShort(see(scenario, { order: 'shortest' }))).toBeLessThan(lastShort(see(scenario)));
  });

  it('does without nodes that are down or fail', () => {
    const scenario = build({
      streams: [stream({ arrivals: { kind: 'poisson', perSecond: 0.2 } })],
      events: [{ kind: 'fails', at: 0, node: 'n2', share: 0.5 }],
    });
    const result = see(scenario);
    expect(result.outcomes.every(({ end, node }) => end === 'served' && node === 'n1')).toBe(true);
  });
});
