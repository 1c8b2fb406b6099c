import { describe, expect, it } from 'vitest';
import { LeaseLedger } from '../../../src/fleet/ledger.ts';
import { newNode } from '../../../src/fleet/new-node.ts';
import { observe } from '../../../src/fleet/observe.ts';
import { DEFAULT_HEALTH } from '../../../src/fleet/params.ts';
import { buildSnapshot } from '../../../src/fleet/snapshot.ts';
import type { FailureReason, FleetSnapshot, NodeRecord, Observation } from '../../../src/fleet/types.ts';
import { rank } from '../../../src/routing/rank.ts';
import { onDisk, resident, service, spec } from '../fleet/builders.ts';
import { MODEL, request, situation } from './builders.ts';

const TICK_MS = 50;
const SERVICE_MS = 500;
const SLOTS = 8;
const ANSWER = { promptEvalMs: 100, evalMs: 400, totalMs: 505 };

/** How a node behaves at a given time: it serves, or every request fails at once. */
type Behaviour = (now: number) => FailureReason | undefined;

interface Tally {
  /** First attempts by node, and those that failed. */
  readonly first: Map<string, number>;
  readonly failed: Map<string, number>;
  mostAtOnce: Map<string, number>;
  refused: number;
}

/** Warm nodes of eight slots, one request every 50 ms, polls every second: reducers, snapshot, ledger and rank together. */
class Fleet {
  now = 0;
  readonly records = new Map<string, NodeRecord>();
  readonly ledger = new LeaseLedger();
  readonly #behaviour: Record<string, Behaviour>;
  readonly #running: { id: string; node: string; endsAt: number; concurrency: number }[] = [];
  #snapshot: FleetSnapshot | undefined;
  #seed = 42;
  #requests = 0;

  constructor(behaviour: Record<string, Behaviour>) {
    this.#behaviour = behaviour;
    for (const [i, id] of Object.keys(behaviour).entries()) {
      this.records.set(id, newNode(spec(id, { slots: SLOTS }), 0));
      this.#see(id, { kind: 'address', address: `10.0.0.${i + 1}:11434`, hosts: [] });
      this.#see(id, { kind: 'tags', models: [onDisk(MODEL)], rttMs: 1 });
      this.#see(id, { kind: 'resident', models: [resident(MODEL)], rttMs: 1 });
      this.#see(id, { kind: 'attempt_served', model: MODEL, service: service(ANSWER) });
    }
  }

  run(forMs: number): Tally {
    const tally: Tally = { first: new Map(), failed: new Map(), mostAtOnce: new Map(), refused: 0 };
    const until = this.now + forMs;
    while (this.now < until) {
      this.now += TICK_MS;
      this.#finish();
      if (this.now % 1_000 === 0) this.#poll();
      this.#request(tally);
      for (const id of this.records.keys()) {
        tally.mostAtOnce.set(id, Math.max(tally.mostAtOnce.get(id) ?? 0, this.ledger.onNode(id)));
      }
    }
    return tally;
  }

  status(id: string): string | undefined {
    return this.records.get(id)?.health.status;
  }

  #request(tally: Tally): void {
    this.#snapshot = buildSnapshot(this.records.values(), 1, this.now, DEFAULT_HEALTH, this.#snapshot);
    const { nodes } = rank(
      request(),
      situation(this.#snapshot, { inflight: this.ledger, random: this.#random, now: this.now }),
    );
    this.#requests += 1;
    const id = `r${this.#requests}`;
    for (const [attempt, { id: node }] of nodes.entries()) {
      if (attempt === 0) {
        count(tally.first, node);
        this.ledger.take(id, node, MODEL, this.now);
      } else this.ledger.move(id, node);
      const reason = this.#behaviour[node]?.(this.now);
      if (reason === undefined) {
        const concurrency = this.ledger.onModel(node, MODEL);
        const turns = Math.ceil(concurrency / SLOTS);
        this.#running.push({ id, node, endsAt: this.now + turns * SERVICE_MS, concurrency });
        return;
      }
      if (attempt === 0) count(tally.failed, node);
      this.#see(node, { kind: 'attempt_failed', model: MODEL, reason, retryAfterMs: undefined });
    }
    tally.refused += 1;
    this.ledger.release(id);
  }

  #finish(): void {
    for (const [i, { id, node, endsAt, concurrency }] of [...this.#running.entries()].reverse()) {
      const isDead = this.#behaviour[node]?.(this.now) === 'refused';
      if (endsAt > this.now && !isDead) continue;
      this.#running.splice(i, 1);
      this.ledger.release(id);
      const answer = service({ ...ANSWER, concurrency });
      const served: Observation = { kind: 'attempt_served', model: MODEL, service: answer };
      const cut: Observation = {
        kind: 'attempt_failed',
        model: MODEL,
        reason: 'truncated',
        retryAfterMs: undefined,
      };
      this.#see(node, isDead ? cut : served);
    }
  }

  #poll(): void {
    for (const id of this.records.keys()) {
      const isDead = this.#behaviour[id]?.(this.now) === 'refused';
      if (isDead) this.#see(id, { kind: 'poll_failed', reason: 'refused', detail: '' });
      else this.#see(id, { kind: 'resident', models: [resident(MODEL)], rttMs: 1 });
    }
  }

  #see(id: string, observation: Observation): void {
    const record = this.records.get(id);
    if (record !== undefined) this.records.set(id, observe(record, observation, DEFAULT_HEALTH, this.now));
  }

  readonly #random = (): number => {
    this.#seed = (this.#seed * 16_807) % 2_147_483_647;
    return this.#seed / 2_147_483_647;
  };
}

function count(tally: Map<string, number>, key: string): void {
  tally.set(key, (tally.get(key) ?? 0) + 1);
}

const fine: Behaviour = () => undefined;

describe('a fleet over time', () => {
  it.each(['server_error', 'busy', 'in_band_error'] as const)(
    'F55 F58: a node that fails at once with %s repels load while its polls succeed',
    (reason) => {
      const fleet = new Fleet({ a: () => reason, b: fine, c: fine });
      const tally = fleet.run(60_000);
      expect(fleet.status('a')).toBe('ready');
      expect(tally.refused).toBe(0);
      expect((tally.first.get('a') ?? 0) / 1_200).toBeLessThan(0.05);
    },
  );

  it('gives a node that has stopped failing its share of the load again', () => {
    const fleet = new Fleet({ a: (now) => (now < 30_000 ? 'server_error' : undefined), b: fine, c: fine });
    fleet.run(90_000);
    const share = (fleet.run(20_000).first.get('a') ?? 0) / 400;
    expect(share).toBeGreaterThan(0.2);
  });

  it('F50: a killed node costs at most one first attempt, and no request', () => {
    const fleet = new Fleet({ a: (now) => (now < 10_000 ? undefined : 'refused'), b: fine, c: fine });
    expect(fleet.run(9_900).failed.get('a')).toBeUndefined();
    const tally = fleet.run(5_000);
    expect(tally.failed.get('a') ?? 0).toBeLessThanOrEqual(1);
    expect(tally.refused).toBe(0);
    expect(fleet.status('a')).toBe('down');
  });

  it('F61: a flapping node costs at most one first attempt per flap', () => {
    const flapping: Behaviour = (now) => (Math.floor(now / 5_000) % 2 === 1 ? 'refused' : undefined);
    const tally = new Fleet({ a: flapping, b: fine, c: fine }).run(300_000);
    expect(tally.refused).toBe(0);
    expect(tally.failed.get('a') ?? 0).toBeLessThanOrEqual(30);
    expect(tally.failed.get('a') ?? 0).toBeLessThanOrEqual(5);
  });

  it('F68: a node that comes back into a busy fleet is filled slowly', () => {
    const fleet = new Fleet({
      a: (now) => (now < 20_000 ? 'refused' : undefined),
      b: fine,
      c: fine,
      d: fine,
    });
    fleet.run(20_000);
    expect(fleet.status('a')).toBe('down');
    fleet.run(3_000);
    expect(fleet.status('a')).toBe('ready');
    const early = fleet.run(3_000);
    expect(early.mostAtOnce.get('a')).toBeLessThanOrEqual(1);
    fleet.run(60_000);
    const late = fleet.run(10_000);
    expect(late.mostAtOnce.get('a')).toBeGreaterThanOrEqual(2);
  });

  it('F69: polls that all fail while requests are served close no node', () => {
    const fleet = new Fleet({ a: fine, b: fine });
    for (const id of ['a', 'b']) {
      for (let i = 0; i < 3; i += 1) {
        const record = fleet.records.get(id);
        if (record === undefined) throw new Error('no record');
        const lost: Observation = { kind: 'poll_failed', reason: 'connect_timeout', detail: '' };
        fleet.records.set(id, observe(record, lost, DEFAULT_HEALTH, fleet.now + 20_000));
      }
    }
    expect([fleet.status('a'), fleet.status('b')]).toEqual(['down', 'down']);
    fleet.now += 20_000;
    const tally = fleet.run(5_000);
    expect(tally.refused).toBe(0);
    expect([fleet.status('a'), fleet.status('b')]).toEqual(['ready', 'ready']);
  });
});
