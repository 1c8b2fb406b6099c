/**
 * What one request costs our own logic, without Envoy and gRPC: `node test/bench/decision.bench.ts`. CPU microseconds of
 * `place`, `finish` and `requestEnded`, with real metrics, and how often the snapshot was made anew.
 */
import { DecisionLog } from '../../src/app/decision-log.ts';
import { Fleet } from '../../src/app/fleet.ts';
import { OutcomeLog } from '../../src/app/record-outcome.ts';
import { ClosingTime } from '../../src/app/routing/closing-time.ts';
import { Router } from '../../src/app/routing/router.ts';
import { SystemClock } from '../../src/app/system-clock.ts';
import type { Outcome, RouteDecision } from '../../src/app/types.ts';
import { ModelDemand } from '../../src/fleet/demand.ts';
import { LeaseLedger } from '../../src/fleet/ledger.ts';
import { DEFAULT_HEALTH } from '../../src/fleet/params.ts';
import { DEFAULT_ROUTING } from '../../src/routing/params.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import type { Caller } from '../../src/waiting/types.ts';
import { MemoryLog } from '../support/memory-log.ts';
import { onDisk, resident, spec } from '../unit/fleet/builders.ts';
import { MODEL, request } from '../unit/routing/builders.ts';

const ROUNDS = 100_000;
const CALLER: Caller = { id: '10.0.0.1', class: 'normal', maxWaitMs: 30_000, isPrivileged: false };
const rows: Record<string, object> = {};
for (const size of [2, 100, 1_000]) rows[`${size} nodes`] = await measure(size);
console.table(rows);
process.exit(0);

async function measure(size: number): Promise<object> {
  const clock = new SystemClock();
  const log = new MemoryLog();
  const ids = Array.from({ length: size }, (_, i) => `n${i}`);
  const specs = ids.map((id) => spec(id, { slots: 4 }));
  const fleet = new Fleet(specs, DEFAULT_HEALTH, clock);
  for (const [i, id] of ids.entries()) {
    fleet.observe(id, { kind: 'address', address: `10.0.${i >> 8}.${i & 255}:1`, hosts: [] });
    fleet.observe(id, { kind: 'tags', models: [onDisk(MODEL)], rttMs: 1 });
    fleet.observe(id, { kind: 'resident', models: [resident(MODEL)], rttMs: 1 });
  }
  while (!fleet.snapshot().nodes.every(({ tagsAt }) => tagsAt !== undefined))
    await new Promise((done) => setTimeout(done, 25));
  const telemetry = createMetrics({
    version: 'bench',
    envoyVersion: () => undefined,
    paths: ['/api/chat'],
    droppedLogLines: () => 0,
  });
  const ledger = new LeaseLedger();
  const decisions = new DecisionLog(1_000);
  const parts = {
    fleet,
    ledger,
    decisions,
    telemetry,
    log: { ...log, isLevelEnabled: () => false } as never,
  };
  const router = new Router({
    closing: new ClosingTime(),
    ...parts,
    clock,
    random: Math.random,
    params: () => DEFAULT_ROUTING,
    demand: new ModelDemand(),
    prompts: { cachedBytes: () => 0 },
    replica: 'bench',
  });
  const outcomes = new OutcomeLog({
    ...parts,
    clock,
    observe: (id, seen) => fleet.observe(id, seen),
    refreshTags: () => {},
  });
  const times = { route: 0, finish: 0, ended: 0 };
  const one = (i: number): void => {
    const a = performance.now();
    let decision: RouteDecision | undefined;
    const placed = router.place(request(), CALLER, 0, {
      placed: (made) => {
        decision = made;
      },
      refused: (error) => {
        throw error;
      },
    });
    const b = performance.now();
    placed.finish();
    const c = performance.now();
    if (decision === undefined) throw new Error('an idle fleet makes nobody wait');
    const ended = outcome(decision.id, decision.addresses[0], i);
    outcomes.requestEnded(ended);
    router.ended(ended);
    times.route += b - a;
    times.finish += c - b;
    times.ended += performance.now() - c;
  };
  for (let i = 0; i < ROUNDS / 10; i += 1) one(i);
  times.route = times.finish = times.ended = 0;
  const cpu = process.cpuUsage();
  for (let i = 0; i < ROUNDS; i += 1) one(i);
  const { user, system } = process.cpuUsage(cpu);
  const version = fleet.snapshot().version;
  telemetry.close();
  const us = (ms: number) => ((ms * 1000) / ROUNDS).toFixed(2);
  return {
    'CPU us': ((user + system) / ROUNDS).toFixed(2),
    'route us': us(times.route),
    'finish us': us(times.finish),
    'requestEnded us': us(times.ended),
    'snapshots per 1000': ((version * 1000) / ROUNDS).toFixed(1),
  };
}

function outcome(decisionId: string, address: string | undefined, i: number): Outcome {
  return {
    decisionId,
    path: '/api/chat',
    method: 'POST',
    status: 200,
    details: 'via_upstream',
    flags: [],
    address,
    attempts: 1,
    firstByteMs: 50 + (i % 20),
    totalMs: 900 + (i % 200),
    requestBytes: 300,
    responseBytes: 4_000,
    usage: {
      promptTokens: 20,
      completionTokens: 100,
      totalMs: 900 + (i % 200),
      loadMs: 5,
      promptEvalMs: 50,
      evalMs: 800 + (i % 200),
      sawError: false,
    },
    end: 'complete',
  };
}
