import { describe, expect, it } from 'vitest';
import { DecisionInputs, isReproducible, replayDecision } from '../../../src/app/decision-inputs.ts';
import { DecisionLog } from '../../../src/app/decision-log.ts';
import { Fleet } from '../../../src/app/fleet.ts';
import { guardWatcher } from '../../../src/app/guard-watcher.ts';
import { QueryGuard } from '../../../src/app/query-guard.ts';
import { OutcomeLog } from '../../../src/app/record-outcome.ts';
import type { RequestWatcher } from '../../../src/app/request-watcher.ts';
import { ClosingTime } from '../../../src/app/routing/closing-time.ts';
import { Router } from '../../../src/app/routing/router.ts';
import type { RouteDecision } from '../../../src/app/types.ts';
import { LeaseLedger } from '../../../src/fleet/ledger.ts';
import { DEFAULT_HEALTH } from '../../../src/fleet/params.ts';
import type { RouterError } from '../../../src/request/errors.ts';
import type { RouteRequest } from '../../../src/request/types.ts';
import { DEFAULT_ROUTING } from '../../../src/routing/params.ts';
import type { Caller } from '../../../src/waiting/types.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { MemoryLog } from '../../support/memory-log.ts';
import { RecordingTelemetry } from '../../support/recording-telemetry.ts';
import { onDisk, spec } from '../fleet/builders.ts';
import { MODEL, noChance, request, resident } from '../routing/builders.ts';
import { address, anOutcome } from './outcomes.ts';

const patient: Caller = { id: 'chat', class: 'normal', maxWaitMs: 30_000, isPrivileged: false };

class Followed {
  readonly clock = new FakeClock({ now: 1_000 });
  readonly guard = new QueryGuard();
  readonly inputs = new DecisionInputs(100);
  readonly decisions = new DecisionLog(100);
  readonly ledger = new LeaseLedger();
  readonly heard: string[] = [];
  readonly router: Router;
  readonly outcomes: OutcomeLog;

  constructor(nodes: number) {
    const { clock, guard, decisions, ledger, inputs } = this;
    const fleet = new Fleet([], DEFAULT_HEALTH, clock);
    const ids = Array.from({ length: nodes }, (_, i) => `n${i + 1}`);
    fleet.replaceNodes(
      ids.map((id) => spec(id, { slots: 1 })),
      DEFAULT_HEALTH,
    );
    const service = { concurrency: 1, wasWarm: true, firstByteMs: 1, totalMs: 2, loadMs: 1 };
    const unknown = {
      promptEvalMs: undefined,
      evalMs: undefined,
      promptTokens: undefined,
      completionTokens: undefined,
    };
    for (const [i, id] of ids.entries()) {
      fleet.observe(id, { kind: 'address', address: address(i + 1), hosts: [] });
      fleet.observe(id, { kind: 'tags', models: [onDisk(MODEL)], rttMs: 1 });
      fleet.observe(id, { kind: 'resident', models: [resident(MODEL)], rttMs: 1 });
      fleet.observe(id, { kind: 'attempt_served', model: MODEL, service: { ...service, ...unknown } });
    }
    const note: RequestWatcher = {
      chosen: ({ ranking, situation }) => {
        const first = ranking.nodes[0]?.id ?? '';
        this.heard.push(`chosen ${first} beside ${situation.inflight.onNode(first)}`);
      },
      unplaced: ({ why, waitedMs }) => this.heard.push(`unplaced ${why} after ${waitedMs}`),
      attemptFailed: (_decision, node, reason) => this.heard.push(`failed ${node} ${reason}`),
      ended: (_decision, node, { end }) => this.heard.push(`ended ${node} ${end}`),
    };
    const watchers = [guardWatcher(guard, clock), note];
    const parts = { fleet, ledger, decisions, telemetry: new RecordingTelemetry(), log: new MemoryLog() };
    const prompts = { cachedBytes: () => 0 };
    this.router = new Router({
      closing: new ClosingTime(),
      ...parts,
      demand: { perSecond: () => 0 },
      prompts,
      clock,
      random: noChance,
      params: () => DEFAULT_ROUTING,
      replica: 'me',
      guard,
      inputs,
      watchers,
    });
    this.outcomes = new OutcomeLog({
      ...parts,
      ...{ clock, prompts },
      observe: (node, observation) => fleet.observe(node, observation),
      refreshTags: () => {},
      watchers,
    });
  }

  place(fields: Partial<RouteRequest> = {}) {
    let decision: RouteDecision | undefined;
    let error: RouterError | undefined;
    const placed = this.router.place(request(fields), patient, 0, {
      placed: (made) => {
        decision = made;
      },
      refused: (why) => {
        error = why;
      },
    });
    return { placed, decision: () => decision, error: () => error };
  }

  /** As if the node at that address had died under the request. */
  dies(decision: RouteDecision | undefined, at: string): void {
    this.outcomes.attemptFailed({
      decisionId: decision?.id ?? '',
      address: at,
      reason: 'reset',
      status: undefined,
      retryAfterMs: undefined,
    });
  }
}

describe('a body that kills nodes', () => {
  it('F57 meets two nodes at most, however often it is sent', () => {
    const fleet = new Followed(10);
    const killed = new Set<string>();
    for (let i = 0; i < 20; i += 1) {
      const { placed, decision } = fleet.place({ fingerprint: 'killer' });
      // Envoy walks the whole list: each node that gets the body dies.
      for (const at of decision()?.addresses ?? []) {
        killed.add(at);
        fleet.dies(decision(), at);
      }
      placed.finish();
    }
    expect(killed.size).toBe(2);
    expect(fleet.place({ fingerprint: 'killer' }).error()?.code).toBe('query_of_death');
    expect(fleet.place({ fingerprint: 'other' }).decision()).toBeDefined();
  });

  it('that killed one node is offered one more and no third', () => {
    const fleet = new Followed(10);
    const first = fleet.place({ fingerprint: 'killer' });
    fleet.dies(first.decision(), first.decision()?.addresses[0] ?? '');
    first.placed.finish();
    expect(fleet.place({ fingerprint: 'killer' }).decision()?.addresses).toHaveLength(1);
  });

  it('that a node answered after all is innocent', () => {
    const fleet = new Followed(10);
    const { placed, decision } = fleet.place({ fingerprint: 'innocent' });
    const [first = '', second = ''] = decision()?.addresses ?? [];
    fleet.dies(decision(), first);
    fleet.outcomes.requestEnded(anOutcome({ decisionId: decision()?.id ?? '', address: second }));
    placed.finish();
    expect(fleet.guard.attemptsLeft('innocent', fleet.clock.now())).toBe(Number.POSITIVE_INFINITY);
  });
});

describe('who follows requests', () => {
  it('hears of the choice before it counts, of failures and of the end', () => {
    const fleet = new Followed(2);
    const { decision } = fleet.place();
    const [first = '', second = ''] = decision()?.addresses ?? [];
    fleet.dies(decision(), first);
    fleet.outcomes.requestEnded(anOutcome({ decisionId: decision()?.id ?? '', address: second }));
    const [node, next] = first === address(1) ? ['n1', 'n2'] : ['n2', 'n1'];
    expect(fleet.heard).toEqual([
      `chosen ${node} beside 0`,
      `failed ${node} reset`,
      `ended ${next} complete`,
    ]);
  });

  it('hears of requests that are refused, and of those whose client hangs up in the line', async () => {
    const fleet = new Followed(1);
    fleet.place();
    const waiting = fleet.place();
    expect(waiting.placed.isWaiting).toBe(true);
    await fleet.clock.advance(400);
    waiting.placed.finish();
    waiting.placed.finish();
    fleet.place({ model: { raw: 'absent', key: 'absent:latest' } });
    expect(fleet.heard.slice(1)).toEqual([
      'unplaced client_gone after 400',
      'unplaced model_not_found after 0',
    ]);
  });
});

it('a decision of the router comes out the same from its input, after a wait too', async () => {
  const fleet = new Followed(2);
  const running = [fleet.place(), fleet.place()];
  const waiting = fleet.place({ promptBytes: 4_000 });
  await fleet.clock.advance(2_000);
  running[0]?.placed.finish();
  await fleet.clock.advance(1);
  expect(waiting.decision()).toBeDefined();
  for (const { decision } of [...running, waiting]) {
    const id = decision()?.id ?? '';
    const input = fleet.inputs.find(id);
    const made = fleet.decisions.find(id);
    if (input === undefined || made === undefined) throw new Error(`nothing is kept of ${id}`);
    expect(replayDecision(input)).toEqual(made.ranking);
    expect(isReproducible(input, made.ranking)).toBe(true);
  }
});
