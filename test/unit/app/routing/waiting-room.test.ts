import { describe, expect, it } from 'vitest';
import type { SlotClaims } from '../../../../src/app/routing/claims.ts';
import type { LineOutcome } from '../../../../src/app/telemetry-port.ts';
import { DEFAULT_REWRITES } from '../../../../src/routing/rewrite-policy.ts';
import { contextOnNode } from '../../../../src/routing/rewrites.ts';
import { DEFAULT_LINE } from '../../../../src/waiting/policy.ts';
import { onDisk, resident } from '../../fleet/builders.ts';
import { MODEL, request } from '../../routing/builders.ts';
import { address, type Visit, Workbench } from '../workbench.ts';

const WARM = [resident(MODEL)];
const OTHER = 'n:latest';

/** One warm node with one slot. */
function oneSlot(options: ConstructorParameters<typeof Workbench>[0] = {}): Workbench {
  return new Workbench(options).withNodes({ n1: WARM }, { slots: 1 });
}

function isWaiting(visit: Visit): boolean {
  return visit.decision === undefined && visit.refusal === undefined && visit.placed?.isWaiting === true;
}

describe('a request that no node can begin now', () => {
  it('waits, and is sent in the same tick in which the slot becomes free', () => {
    const bench = oneSlot();
    const first = bench.place(request());
    const second = bench.place(request());
    expect(first.decision).toBeDefined();
    expect(isWaiting(second)).toBe(true);
    expect(bench.ledger.onModel('n1', MODEL)).toBe(1);
    first.placed?.finish();
    expect(second.decision?.addresses).toEqual([address(1)]);
    expect(second.placed?.isWaiting).toBe(false);
    expect(bench.ledger.onModel('n1', MODEL)).toBe(1);
    second.placed?.finish();
    expect(bench.ledger.size).toBe(0);
  });

  it('is remembered with how long it waited and why', async () => {
    const bench = oneSlot();
    const first = bench.place(request());
    const second = bench.place(request());
    await bench.clock.advance(1_500);
    first.placed?.finish();
    const decision = bench.decisions.find(second.decision?.id ?? '');
    expect(decision).toMatchObject({ waitedMs: 1_500, waitedFor: 'slots_busy' });
  });

  it('is sent with the context that the one before it has brought about, whatever the last poll said', async () => {
    const bench = oneSlot();
    const small = resident(MODEL, { contextLength: 4096 });
    bench.fleet.observe('n1', { kind: 'resident', models: [small], rttMs: 1 });
    const larger = bench.place(request({ numCtx: 8192 }));
    // Ollama lists no model while it is being loaded.
    bench.fleet.observe('n1', { kind: 'resident', models: [], rttMs: 1 });
    larger.placed?.finish();
    const node = bench.fleet.snapshot().byId.get('n1');
    if (node === undefined) throw new Error('n1 is gone');
    const asked = request({ numCtx: 2048 });
    expect(contextOnNode(asked, asked.model, node, DEFAULT_REWRITES)).toMatchObject({
      numCtx: 8192,
      reloads: false,
    });
  });

  it('is sent at once where its caller does not wait', () => {
    const bench = oneSlot();
    bench.place(request());
    expect(bench.place(request(), { maxWaitMs: 0 }).decision).toBeDefined();
  });

  it('that only describes a model never waits', () => {
    const bench = oneSlot();
    bench.place(request());
    const show = bench.place(request({ path: '/api/show', operation: 'show' }));
    expect(show.decision).toBeDefined();
  });

  it('F01 leaves the line when its client hangs up, and is never sent', () => {
    const bench = oneSlot();
    const first = bench.place(request());
    const second = bench.place(request());
    const third = bench.place(request());
    second.placed?.finish();
    second.placed?.finish();
    expect(bench.router.waiting).toBe(1);
    first.placed?.finish();
    expect(second.decision).toBeUndefined();
    expect(third.decision).toBeDefined();
    expect(bench.ledger.size).toBe(1);
  });

  it('goes to a node that comes, without waiting for any slot', async () => {
    const bench = oneSlot();
    bench.place(request());
    const second = bench.place(request());
    bench.withNodes({ n1: WARM, n2: WARM }, { slots: 1 });
    await bench.clock.advance(50);
    expect(second.decision?.addresses[0]).toBe(address(2));
  });

  it('goes to a slot that another control plane has given back', async () => {
    const bench = oneSlot();
    bench.ledger.elsewhere.set('b', [['n1', MODEL, 1]]);
    const visit = bench.place(request());
    expect(isWaiting(visit)).toBe(true);
    bench.ledger.elsewhere.set('b', [['n1', MODEL, 0]]);
    await bench.clock.advance(1);
    expect(visit.decision).toBeDefined();
  });

  it('is refused when no node is left that has its model', async () => {
    const bench = oneSlot();
    bench.place(request());
    const visit = bench.place(request());
    bench.fleet.observe('n1', { kind: 'tags', models: [onDisk(OTHER)], rttMs: 1 });
    bench.fleet.observe('n1', { kind: 'resident', models: [], rttMs: 1 });
    await bench.clock.advance(50);
    expect(visit.refusal?.code).toBe('model_not_found');
    expect(bench.router.waiting).toBe(0);
  });
});

describe('time', () => {
  it('does nothing while nobody waits', () => {
    const bench = oneSlot();
    bench.place(request()).placed?.finish();
    expect(bench.clock.pending).toBe(0);
    const first = bench.place(request());
    const second = bench.place(request());
    expect(bench.clock.pending).toBeGreaterThan(0);
    first.placed?.finish();
    second.placed?.finish();
    expect(bench.clock.pending).toBe(0);
  });

  it('that is up is told with the reason and when to come again', async () => {
    const bench = oneSlot();
    bench.place(request());
    const second = bench.place(request(), { maxWaitMs: 2_000 });
    await bench.clock.advance(1_999);
    expect(isWaiting(second)).toBe(true);
    await bench.clock.advance(1);
    expect(second.refusal).toMatchObject({ code: 'no_slot_in_time' });
    expect(second.refusal?.message).toBe(
      "server busy, please try again: no node became free for 'm' within 2 s",
    );
    const seconds = second.refusal?.retryAfterSeconds ?? 0;
    expect(Number.isInteger(seconds) && seconds >= 1 && seconds <= 600).toBe(true);
    expect(bench.router.waiting).toBe(0);
    expect(bench.clock.pending).toBe(0);
  });

  it('F62: that a load takes is not counted, unless the caller has a deadline of its own', async () => {
    const bench = new Workbench().withNodes({ n1: [] }, { slots: 1 });
    const first = bench.place(request());
    const patient = bench.place(request(), { maxWaitMs: 2_000 });
    const pressed = bench.place(request(), { maxWaitMs: 2_000, hasOwnDeadline: true });
    await bench.clock.advance(2_000);
    expect(pressed.refusal?.code).toBe('no_slot_in_time');
    await bench.clock.advance(6_000);
    expect(isWaiting(patient)).toBe(true);
    bench.fleet.observe('n1', { kind: 'resident', models: WARM, rttMs: 1 });
    first.placed?.finish();
    expect(patient.decision?.addresses).toEqual([address(1)]);
  });

  it('F62: that a load takes is given at most ten minutes', async () => {
    const bench = new Workbench().withNodes({ n1: [] }, { slots: 1 });
    bench.place(request());
    const second = bench.place(request(), { maxWaitMs: 2_000 });
    for (let passed = 0; passed < 601; passed += 1) await bench.clock.advance(1_000);
    expect(second.refusal?.code).toBe('no_slot_in_time');
  });

  it('does not refuse early what only guesses say', () => {
    const bench = oneSlot();
    for (let i = 0; i < 20; i += 1) bench.place(request());
    expect(isWaiting(bench.place(request(), { maxWaitMs: 100 }))).toBe(true);
  });

  it('that certainly will not suffice is told at once', async () => {
    const bench = oneSlot();
    for (let i = 0; i < 10; i += 1) {
      const served = bench.place(request());
      await bench.clock.advance(10_000);
      served.placed?.finish();
      bench.ended(served.decision?.id, {
        totalMs: 10_000,
        usage: {
          totalMs: 10_000e6 / 1e6,
          loadMs: 1,
          promptEvalMs: 100,
          evalMs: 9_800,
          promptTokens: 20,
          completionTokens: 200,
        },
      });
    }
    bench.place(request());
    for (let i = 0; i < 4; i += 1) bench.place(request(), { maxWaitMs: 600_000 });
    const visit = bench.place(request(), { maxWaitMs: 2_000 });
    expect(visit.refusal?.code).toBe('no_slot_in_time');
    expect(visit.refusal?.retryAfterSeconds).toBeGreaterThan(10);
    expect(bench.router.waiting).toBe(4);
  });
});

describe('a full line', () => {
  it('refuses, and says how many wait', () => {
    const bench = oneSlot({ routing: { line: () => ({ ...DEFAULT_LINE, maxRequests: 1 }) } });
    bench.place(request());
    bench.place(request());
    const third = bench.place(request());
    expect(third.refusal).toMatchObject({ code: 'line_full' });
    expect(third.refusal?.message).toContain('1 requests are waiting already');
  });

  it('F24 counts the bodies that its members hold', () => {
    const bench = oneSlot({ routing: { line: () => ({ ...DEFAULT_LINE, maxBytes: 1_000 }) } });
    bench.place(request());
    expect(isWaiting(bench.place(request(), {}, 800))).toBe(true);
    expect(bench.place(request(), {}, 300).refusal?.code).toBe('line_full');
    expect(isWaiting(bench.place(request(), {}, 200))).toBe(true);
  });
});

describe('whose turn it is', () => {
  it('is the more urgent one’s', () => {
    const bench = oneSlot();
    const first = bench.place(request());
    const batch = bench.place(request(), { class: 'batch' });
    const interactive = bench.place(request(), { class: 'interactive' });
    first.placed?.finish();
    expect(interactive.decision).toBeDefined();
    expect(isWaiting(batch)).toBe(true);
  });

  it('is the other caller’s, where one has had much', () => {
    const bench = oneSlot();
    const served: string[] = [];
    let running = bench.place(request(), { id: 'chatty' });
    const waiting = new Map<Visit, string>();
    for (let i = 0; i < 30; i += 1) waiting.set(bench.place(request(), { id: 'chatty' }), 'chatty');
    for (let i = 0; i < 3; i += 1) waiting.set(bench.place(request(), { id: 'polite' }), 'polite');
    for (let i = 0; i < 6; i += 1) {
      running.placed?.finish();
      for (const [visit, name] of waiting) {
        if (visit.decision === undefined) continue;
        waiting.delete(visit);
        served.push(name);
        running = visit;
      }
    }
    expect(served.filter((name) => name === 'polite')).toHaveLength(3);
  });

  it('is of those whose model is in memory first, but not for ever', async () => {
    const bench = new Workbench().withNodes(
      { n1: [resident(MODEL, { sizeBytes: 20e9, vramBytes: 20e9 })] },
      {
        slots: 1,
        vramBytes: 24e9,
      },
    );
    bench.fleet.observe('n1', {
      kind: 'tags',
      models: [onDisk(MODEL, { sizeBytes: 18e9 }), onDisk(OTHER, { sizeBytes: 18e9 })],
      rttMs: 1,
    });
    let running = bench.place(request(), { maxWaitMs: 600_000 });
    const other = bench.place(request({ model: { raw: 'n', key: OTHER } }), { maxWaitMs: 600_000 });
    expect(isWaiting(other)).toBe(true);
    let turns = 0;
    for (; other.decision === undefined && turns < 60; turns += 1) {
      const next = bench.place(request(), { maxWaitMs: 600_000 });
      await bench.clock.advance(1_000);
      running.placed?.finish();
      if (next.decision !== undefined) running = next;
    }
    expect(turns).toBeGreaterThan(3);
    expect(turns).toBeLessThan(40);
  });

  it('is at last that of a model which needs the node to itself, although others could always begin', async () => {
    const bench = new Workbench().withNodes(
      { n1: [resident(MODEL, { sizeBytes: 20e9, vramBytes: 20e9 })] },
      { slots: 2, vramBytes: 24e9 },
    );
    const models = [onDisk(MODEL, { sizeBytes: 18e9 }), onDisk(OTHER, { sizeBytes: 18e9 })];
    bench.fleet.observe('n1', { kind: 'tags', models, rttMs: 1 });
    const patient = { maxWaitMs: 60_000 };
    const running: Visit[] = [bench.place(request(), patient)];
    const other = bench.place(request({ model: { raw: 'n', key: OTHER } }), patient);
    expect(isWaiting(other)).toBe(true);
    const waiting: Visit[] = [];
    let turns = 0;
    for (; other.decision === undefined && turns < 100; turns += 1) {
      // The next one comes before the last one ends: without a bound the node is never idle.
      waiting.push(bench.place(request(), patient));
      await bench.clock.advance(500);
      running.shift()?.placed?.finish();
      for (const visit of waiting.splice(0)) (visit.decision === undefined ? waiting : running).push(visit);
      await bench.clock.advance(500);
    }
    expect(other.decision).toBeDefined();
    expect(turns).toBeLessThan(40);
  });

  it('never puts more on a node than it has slots', () => {
    const bench = new Workbench().withNodes({ n1: WARM, n2: WARM }, { slots: 2 });
    const visits = Array.from({ length: 12 }, () => bench.place(request()));
    for (let ended = 0; ended < 12; ended += 1) {
      expect(bench.ledger.onNode('n1')).toBeLessThanOrEqual(2);
      expect(bench.ledger.onNode('n2')).toBeLessThanOrEqual(2);
      visits.find(({ decision, placed }) => decision !== undefined && placed !== undefined)?.placed?.finish();
      const at = visits.findIndex(({ decision }) => decision !== undefined);
      visits.splice(at, 1);
    }
    expect(bench.router.waiting).toBe(0);
  });
});

describe('slots that are claimed', () => {
  class Claims implements SlotClaims {
    readonly asked: { id: string; node: string; cap: number; answer: (isOurs: boolean) => void }[] = [];
    claim({ id, node }: { id: string; node: string }, cap: number): Promise<boolean> {
      return new Promise((answer) => this.asked.push({ id, node, cap, answer }));
    }
  }

  function claiming() {
    const claims = new Claims();
    const bench = oneSlot({ routing: { claims } });
    const first = bench.place(request());
    const second = bench.place(request());
    first.placed?.finish();
    return { bench, claims, second };
  }

  it('are asked for by whoever waited, and are nobody else’s meanwhile', async () => {
    const { bench, claims, second } = claiming();
    expect(claims.asked).toMatchObject([{ node: 'n1', cap: 1 }]);
    expect(second.decision).toBeUndefined();
    const newcomer = bench.place(request());
    expect(isWaiting(newcomer)).toBe(true);
    claims.asked[0]?.answer(true);
    await bench.clock.advance(0);
    expect(second.decision?.id).toBe(claims.asked[0]?.id);
    expect(bench.ledger.onModel('n1', MODEL)).toBe(1);
  });

  it('that were not to be had are asked for again, by the same request', async () => {
    const { bench, claims, second } = claiming();
    claims.asked[0]?.answer(false);
    await bench.clock.advance(0);
    expect(isWaiting(second)).toBe(true);
    expect(bench.ledger.size).toBe(0);
    await bench.clock.advance(50);
    expect(claims.asked).toHaveLength(2);
    claims.asked[1]?.answer(true);
    await bench.clock.advance(0);
    expect(second.decision).toBeDefined();
  });

  it('go back where the client has gone meanwhile', async () => {
    const { bench, claims, second } = claiming();
    const told: string[] = [];
    bench.ledger.onChange((id) => told.push(id));
    second.placed?.finish();
    claims.asked[0]?.answer(true);
    await bench.clock.advance(0);
    expect(second.decision).toBeUndefined();
    expect(bench.ledger.size).toBe(0);
    expect(told).toContain(claims.asked[0]?.id);
  });
});

describe('what the metrics hear', () => {
  it('is everybody who joins and how they leave', async () => {
    const left: string[] = [];
    let joined = 0;
    const lineTelemetry = {
      lineJoined: () => {
        joined += 1;
      },
      lineLeft: (_class: string, seconds: number, outcome: LineOutcome) => left.push(`${outcome} ${seconds}`),
    };
    const bench = oneSlot({ routing: { lineTelemetry } });
    const first = bench.place(request());
    const dispatched = bench.place(request());
    const gone = bench.place(request());
    bench.place(request(), { maxWaitMs: 2_000 });
    expect(joined).toBe(3);
    await bench.clock.advance(1_000);
    gone.placed?.finish();
    first.placed?.finish();
    await bench.clock.advance(1_000);
    expect(left).toEqual(['gone 1', 'dispatched 1', 'refused 2']);
    expect(dispatched.decision).toBeDefined();
    expect(bench.router.line().length).toBe(0);
  });
});

describe('a decision made again', () => {
  it('is the same for the same id and situation: chance comes from the id', () => {
    const pick = () => {
      const bench = new Workbench().withNodes({ n1: WARM, n2: WARM, n3: WARM, n4: WARM });
      return Array.from({ length: 8 }, () => {
        const visit = bench.place(request());
        visit.placed?.finish();
        return visit.decision?.addresses.join();
      });
    };
    const first = pick();
    expect(pick()).toEqual(first);
    expect(new Set(first).size).toBeGreaterThan(1);
  });
});
