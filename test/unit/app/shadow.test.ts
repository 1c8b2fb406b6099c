import { describe, expect, it } from 'vitest';
import { Decision } from '../../../src/app/decision-log.ts';
import { Shadow } from '../../../src/app/shadow.ts';
import { LeaseLedger } from '../../../src/fleet/ledger.ts';
import { rank } from '../../../src/routing/rank.ts';
import { createRival } from '../../../src/routing/rivals/create.ts';
import { RIVAL_POLICIES } from '../../../src/routing/rivals/names.ts';
import type { RivalPolicy } from '../../../src/routing/rivals/types.ts';
import type { Situation } from '../../../src/routing/types.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { MemoryLog } from '../../support/memory-log.ts';
import { noChance, node, request, situation, snapshot, warmNode } from '../routing/builders.ts';
import { anOutcome } from './outcomes.ts';

function aShadow(policy: RivalPolicy) {
  const clock = new FakeClock();
  const log = new MemoryLog();
  const told: { agrees: boolean; regret: number | undefined }[] = [];
  const shadow = new Shadow({
    policy,
    clock,
    log,
    random: noChance,
    telemetry: { shadowChose: (_policy, agrees, regret) => told.push({ agrees, regret }) },
  });
  let count = 0;
  const decide = (of: Situation): string => {
    count += 1;
    const id = `d${count}`;
    shadow.chosen({ id, request: request(), ranking: rank(request(), of), situation: of });
    return id;
  };
  return { shadow, clock, log, told, decide };
}

function always(id: string): RivalPolicy {
  return { name: 'random', queue: 'node', choose: () => id };
}

const fleet = situation(snapshot(warmNode('n1'), node('n2')));

function decisionOf(id: string): Decision {
  return new Decision({
    id,
    at: new Date(0),
    request: request(),
    ranking: rank(request(), fleet),
    snapshotVersion: 1,
  });
}

describe('a shadow policy', () => {
  it('that chooses the same agrees, without regret', () => {
    const { told, decide, shadow } = aShadow(always('n1'));
    decide(fleet);
    expect(told).toEqual([{ agrees: true, regret: 0 }]);
    expect(shadow.report()).toMatchObject({ asked: 1, agreed: 1, meanRegretSeconds: 0, isOff: false });
  });

  it('that would load a model needlessly would cost what our own terms say of its node', () => {
    const { told, decide } = aShadow(always('n2'));
    decide(fleet);
    const ours = rank(request(), fleet).nodes[0]?.seconds ?? 0;
    const theirs = rank(request(), situation(snapshot(node('n2')))).nodes[0]?.seconds ?? 0;
    expect(told).toEqual([{ agrees: false, regret: theirs - ours }]);
    expect(theirs - ours).toBeGreaterThan(1);
  });

  it('that names a node which must not be used has no cost', () => {
    const { told, decide } = aShadow(always('elsewhere'));
    decide(fleet);
    expect(told).toEqual([{ agrees: false, regret: undefined }]);
  });

  it('is asked about a few decisions each second only', async () => {
    const { told, decide, clock } = aShadow(always('n1'));
    for (let i = 0; i < 100; i += 1) {
      decide(fleet);
      await clock.advance(10);
    }
    expect(told.length).toBe(10);
  });

  it('that throws is switched off, with one line in the log', async () => {
    const { told, decide, log, clock, shadow } = aShadow({
      name: 'random',
      queue: 'node',
      choose: () => {
        throw new Error('broken');
      },
    });
    for (let i = 0; i < 3; i += 1) {
      expect(() => decide(fleet)).not.toThrow();
      await clock.advance(1_000);
    }
    expect(told).toEqual([]);
    expect(log.count('warn')).toBe(1);
    expect(shadow.report().isOff).toBe(true);
  });

  it('leaves chance and counts of the decision alone', () => {
    const { decide } = aShadow(createRival('random'));
    let throws = 0;
    const random = () => {
      throws += 1;
      return 0.5;
    };
    const inflight = new LeaseLedger();
    decide(situation(fleet.snapshot, { random, inflight }));
    const before = throws;
    rank(request(), situation(fleet.snapshot, { random, inflight }));
    expect(before).toBe(throws - before);
    expect(inflight.size).toBe(0);
  });

  it('is shown beside what really came under our choice', async () => {
    const { shadow, decide, clock } = aShadow(always('n2'));
    const first = decide(fleet);
    await clock.advance(1_000);
    const second = decide(fleet);
    shadow.ended(decisionOf(first), 'n1', anOutcome({ firstByteMs: 400 }));
    shadow.ended(decisionOf(second), 'n1', anOutcome({ firstByteMs: 600 }));
    shadow.ended(decisionOf('another'), 'n1', anOutcome({ firstByteMs: 9_000 }));
    expect(shadow.report()).toMatchObject({ realSecondsDiffered: 0.5, realSecondsAgreed: undefined });
  });

  it.each(RIVAL_POLICIES)('may be any of the built-in ones: %s', async (name) => {
    const { shadow, decide, clock, told } = aShadow(createRival(name));
    for (let i = 0; i < 20; i += 1) {
      const id = decide(fleet);
      shadow.ended(decisionOf(id), 'n1', anOutcome());
      await clock.advance(1_000);
    }
    expect(shadow.report()).toMatchObject({ asked: 20, isOff: false });
    for (const { regret } of told) expect(regret).toBeGreaterThanOrEqual(0);
  });
});
