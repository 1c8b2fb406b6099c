import { describe, expect, it } from 'vitest';
import { RIVAL_POLICIES } from '../../../src/routing/rivals/names.ts';
import { Simulation } from '../../../src/simulate/engine/engine.ts';
import { ALL_POLICIES, simulate } from '../../../src/simulate/policies.ts';
import type { SimAttempt, SimDriver, SimHost, SimRequest } from '../../../src/simulate/types.ts';
import { buildScenario } from '../../../src/simulate/workload.ts';
import { stream, troubledScenario, workload } from './scenario-builders.ts';

/** Hands everything to one node and writes down what it is told. */
class ScriptedDriver implements SimDriver {
  readonly name = 'scripted';
  decisions = 0;
  readonly heard: string[] = [];
  readonly host: SimHost;
  onArrive: (request: SimRequest) => void = ({ id }) => this.host.dispatch(id, 'n1');
  onFailed: (id: number) => void = (id) => this.host.refuse(id, 'failed');

  constructor(host: SimHost) {
    this.host = host;
  }
  arrive(request: SimRequest): void {
    this.heard.push(`arrive ${request.id}`);
    this.onArrive(request);
  }
  began(id: number): void {
    this.heard.push(`began ${id}`);
  }
  ended(id: number, node: string, { end, reason, canRetry }: SimAttempt): void {
    this.heard.push(`${end} ${id} at ${node}${reason === undefined ? '' : ` ${reason}`}`);
    if (canRetry) this.onFailed(id);
  }
  left(id: number): void {
    this.heard.push(`left ${id}`);
  }
}

function script(
  scenario: Parameters<typeof simulate>[0],
  prepare: (driver: ScriptedDriver) => void = () => {},
) {
  let driver: ScriptedDriver | undefined;
  const run = new Simulation({
    scenario,
    seed: 1,
    driver: (host) => {
      driver = new ScriptedDriver(host);
      prepare(driver);
      return driver;
    },
  });
  const result = run.run();
  return { result, heard: driver?.heard ?? [] };
}

const one = (fields: Parameters<typeof stream>[0] = {}) =>
  stream({ arrivals: { kind: 'once', atMs: 1_000, count: 1 }, ...fields });

describe.each(ALL_POLICIES)('%s', (policy) => {
  it('gives the same result for the same seed, byte by byte', () => {
    const runs = [1, 2].map(() => JSON.stringify(simulate(troubledScenario(3), policy, { seed: 5 })));
    expect(runs[0]).toBe(runs[1]);
  });

  it('ends every request exactly once, in time', () => {
    const scenario = troubledScenario(4);
    const { outcomes } = simulate(scenario, policy, { seed: 5 });
    expect(outcomes.map(({ id }) => id)).toEqual(scenario.requests.map(({ id }) => id));
    for (const { arrivedAt, startedAt, firstTokenAt, endedAt, end, node } of outcomes) {
      const moments = [arrivedAt, startedAt, firstTokenAt, endedAt].filter((at) => at !== undefined);
      expect(moments).toEqual([...moments].sort((a, b) => a - b));
      if (end === 'served') expect([startedAt, firstTokenAt, node]).not.toContain(undefined);
    }
    expect(outcomes.filter(({ end }) => end === 'served').length).toBeGreaterThan(
      scenario.requests.length / 2,
    );
  });
});

describe('requests', () => {
  it('never run more at once on a model than its slots', () => {
    const scenario = troubledScenario(6);
    for (const policy of ['warmpath', ...RIVAL_POLICIES] as const) {
      const running = new Map<string, [at: number, change: number][]>();
      for (const { id, node, firstTokenAt, endedAt } of simulate(scenario, policy, { seed: 1 }).outcomes) {
        const request = scenario.requests[id]?.request;
        // While tokens come a slot is certainly held; answers that come whole do not show when that began.
        if (node === undefined || firstTokenAt === undefined || request === undefined) continue;
        if (request.endpoint.family !== 'ollama') continue;
        const place = `${node} ${request.model.key}`;
        const edges = running.get(place) ?? [];
        edges.push([firstTokenAt, 1], [endedAt, -1]);
        running.set(place, edges);
      }
      for (const [place, edges] of running) {
        const slots = place.startsWith('n1') ? 2 : 1;
        let now = 0;
        let most = 0;
        for (const [, change] of edges.sort((a, b) => a[0] - b[0] || a[1] - b[1])) {
          now += change;
          most = Math.max(most, now);
        }
        expect(most, `${policy} at ${place}`).toBeLessThanOrEqual(slots);
      }
    }
  });

  it('that follow another come when its answer has been read', () => {
    const scenario = buildScenario(
      workload({
        streams: [
          one({
            arrivals: {
              kind: 'sessions',
              perSecond: 0.01,
              turns: { median: 3, spread: 0, min: 3, max: 3 },
              think: { median: 7_000, spread: 0, min: 7_000, max: 7_000 },
            },
          }),
        ],
      }),
      2,
    );
    const { outcomes } = script(scenario).result;
    const byId = new Map(outcomes.map((outcome) => [outcome.id, outcome]));
    const followers = scenario.requests.filter(({ follows }) => follows !== undefined);
    expect(followers.length).toBeGreaterThan(3);
    for (const { id, follows } of followers) {
      const before = byId.get(follows?.id ?? -1);
      expect((byId.get(id)?.arrivedAt ?? 0) - (before?.endedAt ?? 0)).toBeCloseTo(7_000);
    }
  });

  it('leave with their client, wherever they are', () => {
    const scenario = buildScenario(
      workload({
        streams: [
          one({
            arrivals: { kind: 'once', atMs: 0, count: 3 },
            patienceMs: 3_000,
            answer: { median: 1_000, spread: 0, min: 1, max: 1_000 },
          }),
        ],
      }),
      1,
    );
    const { result, heard } = script(scenario, (driver) => {
      driver.onArrive = ({ id }) => (id === 2 ? undefined : driver.host.dispatch(id, 'n2'));
    });
    expect(result.outcomes.map(({ end, endedAt }) => [end, endedAt])).toEqual(Array(3).fill(['left', 3_000]));
    expect(heard.filter((line) => line.startsWith('left'))).toEqual(['left 0', 'left 1', 'left 2']);
  });

  it('that failed before their first byte may be tried again elsewhere', () => {
    const scenario = buildScenario(
      workload({ streams: [one()], events: [{ kind: 'down', at: 0, node: 'n1' }] }),
      1,
    );
    const { result, heard } = script(scenario, (driver) => {
      driver.onFailed = (id) => driver.host.dispatch(id, 'n2');
    });
    expect(heard).toEqual(['arrive 0', 'failed 0 at n1 refused', 'began 0', 'served 0 at n2']);
    expect(result.outcomes[0]).toMatchObject({ end: 'served', node: 'n2', attempts: 2 });
  });

  it('that break off after their first byte have failed', () => {
    const scenario = buildScenario(
      workload({
        streams: [one({ answer: { median: 5_000, spread: 0, min: 1, max: 5_000 } })],
        events: [{ kind: 'down', at: 10_000, node: 'n1' }],
      }),
      1,
    );
    const { result, heard } = script(scenario);
    expect(heard.at(-1)).toBe('failed 0 at n1 truncated');
    expect(result.outcomes[0]).toMatchObject({ end: 'failed', endedAt: 10_000 });
  });

  it('can be taken back from a node and given to another', () => {
    const scenario = buildScenario(workload({ streams: [one()] }), 1);
    const { result } = script(scenario, (driver) => {
      driver.onArrive = ({ id }) => {
        driver.host.dispatch(id, 'n1');
        driver.host.clock.after(500, () => {
          driver.host.withdraw(id);
          driver.host.dispatch(id, 'n2');
        });
      };
    });
    expect(result.outcomes[0]).toMatchObject({ end: 'served', node: 'n2', attempts: 2, loaded: true });
    // The load at the first node was given up.
    expect(result.loads).toBe(1);
  });

  it('that nobody ends are failed when everything else is over', () => {
    const scenario = buildScenario(workload({ streams: [one()] }), 1);
    const { result } = script(scenario, (driver) => {
      driver.onArrive = () => {};
    });
    expect(result.outcomes).toMatchObject([{ id: 0, end: 'failed', node: undefined }]);
  });
});

describe('accounts', () => {
  it('count loads, and those of models that the node had had before as reloads', () => {
    const scenario = buildScenario(
      workload({
        streams: [
          one({ name: 'first' }),
          one({
            name: 'second',
            models: [{ value: 'b:latest', weight: 1 }],
            arrivals: { kind: 'once', atMs: 20_000, count: 1 },
          }),
          one({ name: 'third', arrivals: { kind: 'once', atMs: 40_000, count: 1 } }),
        ],
      }),
      1,
    );
    const { result } = script(scenario);
    expect([result.loads, result.reloads]).toEqual([3, 1]);
  });

  it('count as waste the time in which a warm slot was free elsewhere while a request waited', () => {
    const answer = { median: 400, spread: 0, min: 400, max: 400 };
    const scenario = buildScenario(
      workload({
        streams: [
          one({
            name: 'warm-1',
            arrivals: { kind: 'once', atMs: 0, count: 1 },
            answer: { median: 1, spread: 0, min: 1, max: 1 },
          }),
          one({
            name: 'warm-2',
            arrivals: { kind: 'once', atMs: 0, count: 1 },
            answer: { median: 1, spread: 0, min: 1, max: 1 },
          }),
          one({ name: 'two', arrivals: { kind: 'once', atMs: 20_000, count: 2 }, answer }),
        ],
      }),
      1,
    );
    const toOne = script(scenario, (driver) => {
      driver.onArrive = ({ id }) => driver.host.dispatch(id, id === 0 ? 'n1' : 'n2');
    });
    const spread = script(scenario, (driver) => {
      driver.onArrive = ({ id }) => driver.host.dispatch(id, id % 2 === 0 ? 'n1' : 'n2');
    });
    // The second of the two waits at n2 for as long as the first takes there.
    const [, , , second] = toOne.result.outcomes;
    const waited = (second?.firstTokenAt ?? 0) - (second?.arrivedAt ?? 0);
    expect(toOne.result.wasteMs - spread.result.wasteMs).toBeGreaterThan(waited / 2);
  });
});
