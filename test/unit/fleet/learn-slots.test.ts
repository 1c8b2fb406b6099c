import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NO_FIGURES, slotsFor } from '../../../src/fleet/figures.ts';
import { probeAfterFailure, slotLesson } from '../../../src/fleet/learn-slots.ts';
import { viewOf } from '../../../src/fleet/snapshot.ts';
import type { ModelFigures, NodeView } from '../../../src/fleet/types.ts';
import { NodeLife, resident, service } from './builders.ts';

/** An API that tells no durations. */
const BARE = { loadMs: undefined, promptEvalMs: undefined, evalMs: undefined };
/** The same, and its answer came in one piece. */
const WHOLE = { ...BARE, firstByteMs: undefined };

describe('slots', () => {
  it.each([
    {
      name: 'a second request that did not wait shows a second slot',
      slots: 1,
      given: { concurrency: 2 },
      want: 2,
    },
    { name: 'they rise one step at a time', slots: 1, given: { concurrency: 8 }, want: 2 },
    {
      name: 'a request that waited shows nothing new',
      slots: 1,
      given: { concurrency: 2, totalMs: 2_000 },
      want: 1,
    },
    { name: 'running within the belief teaches nothing', slots: 4, given: { concurrency: 4 }, want: 4 },
    {
      name: 'a wait within the belief shows that there are fewer',
      slots: 4,
      given: { concurrency: 3, totalMs: 2_000 },
      want: 2,
    },
    {
      name: 'two that wait for each other leave one',
      slots: 2,
      given: { concurrency: 2, totalMs: 9_000 },
      want: 1,
    },
    {
      name: 'a request that was alone waits only for strangers',
      slots: 4,
      given: { concurrency: 1, totalMs: 9_000 },
      want: 4,
    },
    {
      name: 'a wait that could be noise changes nothing',
      slots: 4,
      given: { concurrency: 3, totalMs: 1_205 },
      want: 4,
    },
    {
      name: 'a cold request teaches nothing',
      slots: 1,
      given: { concurrency: 2, wasWarm: false },
      want: 1,
    },
    {
      name: 'a reload in the middle teaches nothing',
      slots: 4,
      given: { concurrency: 2, loadMs: 900, totalMs: 9_000 },
      want: 4,
    },
    {
      name: 'an API without durations teaches nothing',
      slots: 1,
      given: { concurrency: 2, evalMs: undefined },
      want: 1,
    },
    {
      name: 'a very short request teaches nothing',
      slots: 1,
      given: { concurrency: 2, promptEvalMs: 5, evalMs: 20, totalMs: 30 },
      want: 1,
    },
    {
      name: 'an answer that began while all earlier ones ran shows one more, without durations and cold too',
      slots: 3,
      given: { ...BARE, concurrency: 4, servedBeside: 3, wasWarm: false },
      want: 4,
    },
    {
      name: 'one that began as an earlier one had ended shows nothing, however short its wait',
      slots: 1,
      given: { concurrency: 2, servedBeside: 0 },
      want: 1,
    },
    { name: 'there is a bound', slots: 64, given: { concurrency: 200 }, want: 64 },
  ])('$name', ({ slots, given, want }) => {
    expect(slotLesson(slots, service(given), NO_FIGURES).slots).toBe(want);
  });

  it.each([1, 2, 4, 8])('converge on the %i that a node has, and stay there', (real) => {
    const node = new NodeLife().polled();
    const seen: number[] = [];
    for (let i = 0; i < 400; i += 1) {
      // A queue as Ollama has it: 12 requests in turn, the first `real` run, the others wait for a whole turn each.
      const concurrency = (i % 12) + 1;
      const turns = Math.max(0, Math.ceil((concurrency - real) / real));
      node.wait(100).served({ concurrency, totalMs: 1_005 + turns * 1_000 });
      if (i >= 200) seen.push(node.record.learnt.slots);
    }
    expect(new Set(seen)).toEqual(new Set([real]));
  });

  it('fall quickly when the node is restarted with fewer', () => {
    const node = new NodeLife().polled();
    for (let i = 2; i <= 8; i += 1) node.served({ concurrency: i });
    expect(node.record.learnt.slots).toBe(8);
    node.served({ concurrency: 2, totalMs: 2_000 });
    expect(node.record.learnt.slots).toBe(1);
  });

  it('stay whole numbers from 1 to 64, whatever the node reports', () => {
    const ms = fc.option(fc.oneof(fc.double(), fc.nat(100_000)), { nil: undefined });
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 64 }),
        fc.integer({ min: 0, max: 1_000 }),
        ms,
        ms,
        ms,
        fc.double(),
        fc.option(fc.nat(1_000), { nil: undefined }),
        (slots, concurrency, loadMs, promptEvalMs, evalMs, totalMs, servedBeside) => {
          const sample = service({ concurrency, servedBeside, loadMs, promptEvalMs, evalMs, totalMs });
          const next = slotLesson(slots, sample, NO_FIGURES).slots;
          expect(Number.isInteger(next)).toBe(true);
          expect(next).toBeGreaterThanOrEqual(1);
          expect(next).toBeLessThanOrEqual(64);
        },
      ),
    );
  });
});

describe('the slots of an API without durations', () => {
  const known = (): ModelFigures => {
    const node = new NodeLife().polled(resident('m:latest'));
    for (let i = 0; i < 5; i += 1) node.served();
    return node.record.learnt.figures.get('m:latest') ?? NO_FIGURES;
  };

  it.each([
    {
      name: 'a trial that took as long as its tokens take is no proof',
      totalMs: 1_100,
      beside: 0,
      want: undefined,
    },
    { name: 'a trial that took much longer has waited', totalMs: 2_000, beside: 0, want: 'failed' },
    {
      name: 'one that ran beside the other has passed, however long',
      totalMs: 2_000,
      beside: 1,
      want: 'passed',
    },
  ])('$name', ({ totalMs, beside, want }) => {
    const given = service({ ...WHOLE, concurrency: 2, servedBeside: beside, totalMs });
    expect(slotLesson(1, given, known(), { beyond: 2, within: 2 }).trial).toBe(want);
  });

  // Its 40 tokens take 800 ms alone.
  it.each([
    {
      name: 'that ended soon after the first of the others ran beside them',
      given: { afterFirstEndMs: 250 },
      want: 'passed',
    },
    {
      name: 'that took its whole work from then on had waited',
      given: { afterFirstEndMs: 820, totalMs: 1_000 },
      want: 'failed',
    },
    {
      name: 'that took much longer still was slowed down, by whatever it was',
      given: { afterFirstEndMs: 1_500, totalMs: 2_500 },
      want: undefined,
    },
    {
      name: 'that took half of its work may have done either',
      given: { afterFirstEndMs: 450, totalMs: 1_400 },
      want: undefined,
    },
    {
      name: 'of few tokens ends soon by itself',
      given: { afterFirstEndMs: 60, totalMs: 300, completionTokens: 2 },
      want: undefined,
    },
    {
      name: 'that was cold tells of the load',
      given: { afterFirstEndMs: 300, wasWarm: false },
      want: undefined,
    },
  ])('a trial in one piece $name', ({ given, want }) => {
    const trial = service({ ...WHOLE, concurrency: 2, servedBeside: 0, ...given });
    expect(slotLesson(1, trial, known(), { beyond: 2, within: 2 }).trial).toBe(want);
  });

  it('are judged by the prompt where nothing is written', () => {
    const node = new NodeLife().polled(resident('e:latest'));
    const embedding = { ...WHOLE, completionTokens: undefined, promptTokens: 500, totalMs: 500 };
    for (let i = 0; i < 5; i += 1) node.served(embedding, 'e:latest');
    const figures = node.record.learnt.figures.get('e:latest') ?? NO_FIGURES;
    const trial = { ...embedding, concurrency: 2, servedBeside: 0, totalMs: 900 };
    expect(slotLesson(1, service({ ...trial, afterFirstEndMs: 150 }), figures).trial).toBe('passed');
    expect(
      slotLesson(1, service({ ...trial, afterFirstEndMs: 500 }), figures, { beyond: 2, within: 0 }).trial,
    ).toBe('failed');
  });

  it('seem fewer when many in a row have waited, by one at a time; a trial fails with three', () => {
    const waited = service({
      ...WHOLE,
      concurrency: 2,
      servedBeside: 0,
      afterFirstEndMs: 820,
      totalMs: 1_900,
    });
    const none = { beyond: 0, within: 0 };
    const lesson = (beyond: number) => slotLesson(1, waited, known(), { beyond, within: 2 });
    expect(lesson(0)).toEqual({ slots: 1, trial: undefined, doubts: { beyond: 1, within: 2 } });
    expect(lesson(2)).toEqual({ slots: 1, trial: 'failed', doubts: none });
    const { answerRates, ...others } = known();
    const seen = { ...others, answerRates: [answerRates[0], answerRates[0]] };
    expect(slotLesson(4, waited, seen, { beyond: 2, within: 10 })).toEqual({
      slots: 4,
      trial: undefined,
      doubts: { beyond: 2, within: 11 },
    });
    expect(slotLesson(4, waited, seen, { beyond: 0, within: 11 })).toEqual({
      slots: 3,
      trial: 'failed',
      doubts: none,
    });
  });

  it('do not fall where more at once are slower, nor where a stream began early and was long', () => {
    const slow = service({ ...WHOLE, concurrency: 3, servedBeside: 0, totalMs: 3_000 });
    expect(slotLesson(4, slow, known(), { beyond: 2, within: 2 })).toEqual({
      slots: 4,
      trial: undefined,
      doubts: { beyond: 2, within: 0 },
    });
    const long = service({ ...BARE, concurrency: 3, completionTokens: undefined, totalMs: 30_000 });
    expect(slotLesson(4, long, known())).toEqual({ slots: 4, trial: undefined });
    const beside = service({ concurrency: 3, servedBeside: 2, totalMs: 30_000 });
    expect(slotLesson(4, beside, known())).toEqual({ slots: 4, trial: undefined });
  });

  it.each([1, 2, 4])('are found where all answers come in one piece and are equally long: %i', (real) => {
    const node = new NodeLife().polled(resident('m:latest'));
    node.served({ ...WHOLE, totalMs: 1_000 });
    const jobs: { sentAt: number; endsAt: number; before: { endsAt: number }[] }[] = [];
    let sent = 0;
    for (let i = 0; i < 1_000; i += 1) {
      const { slots, probeSlotsAt } = viewOf(node.record, node.params, node.now);
      while (jobs.length < (node.now >= probeSlotsAt ? slots + 1 : slots)) {
        const before = [...jobs].sort((a, b) => b.endsAt - a.endsAt);
        const beginsAt = before.length < real ? node.now : (before[real - 1]?.endsAt ?? node.now);
        // Between equals it is the small differences that tell them apart.
        sent += 1;
        jobs.push({ sentAt: node.now, endsAt: beginsAt + 1_000 + ((sent * 37) % 101), before });
      }
      const job = jobs.reduce((a, b) => (b.endsAt < a.endsAt ? b : a));
      jobs.splice(jobs.indexOf(job), 1);
      node.wait(job.endsAt - node.now);
      const firstEnd = Math.min(job.endsAt, ...job.before.map(({ endsAt }) => endsAt));
      node.served({
        ...WHOLE,
        concurrency: job.before.length + 1,
        servedBeside: job.before.filter(({ endsAt }) => endsAt > job.endsAt).length,
        afterFirstEndMs: firstEnd < job.endsAt ? job.endsAt - firstEnd : undefined,
        totalMs: job.endsAt - job.sentAt,
      });
    }
    expect(viewOf(node.record, node.params, node.now).slots).toBe(real);
    expect(node.record.learnt.failedProbes).toBeGreaterThan(0);
  });

  it('say nothing where nothing is known of its requests', () => {
    const given = service({ ...BARE, concurrency: 2, servedBeside: 0, totalMs: 60_000 });
    expect(slotLesson(1, given, NO_FIGURES)).toEqual({ slots: 1, trial: undefined });
  });
});

describe('trials of one slot more', () => {
  const view = (node: NodeLife): NodeView => viewOf(node.record, node.params, node.now);

  it('may begin at once on a node of which nothing is known', () => {
    expect(view(new NodeLife()).probeSlotsAt).toBe(0);
  });

  it('pause after a failure, twice as long after each, up to half an hour', () => {
    const node = new NodeLife().polled();
    const pauses: number[] = [];
    for (let i = 0; i < 9; i += 1) {
      node.wait(3_600_000).served({ concurrency: 2, servedBeside: 0, totalMs: 2_000 });
      pauses.push((view(node).probeSlotsAt - node.now) / 1_000);
    }
    expect(pauses).toEqual([30, 60, 120, 240, 480, 960, 1_800, 1_800, 1_800]);
    expect(probeAfterFailure(1e6, 5)).toBe(5 + 1_800_000);
  });

  it('that were under way when the pause began do not lengthen it', () => {
    const node = new NodeLife().polled();
    for (let i = 0; i < 5; i += 1) node.wait(100).served({ concurrency: 2, servedBeside: 0, totalMs: 2_000 });
    expect(node.record.learnt).toMatchObject({ failedProbes: 1, probeSlotsAt: 100 + 30_000 });
  });

  it('that pass are followed by the next at once', () => {
    const node = new NodeLife().polled();
    node.served({ concurrency: 2, servedBeside: 0, totalMs: 2_000 });
    node.wait(40_000).served({ concurrency: 2, servedBeside: 1 });
    expect(view(node)).toMatchObject({ slots: 2, probeSlotsAt: 30_000 });
    node.wait(1_000).served({ concurrency: 3, servedBeside: 2 });
    expect(view(node)).toMatchObject({ slots: 3, probeSlotsAt: 30_000 });
    expect(node.record.learnt.failedProbes).toBe(0);
  });

  it('never are made where the slots are configured, or an agent tells them', () => {
    expect(view(new NodeLife({ slots: 2 })).probeSlotsAt).toBe(Number.POSITIVE_INFINITY);
    const ollama = { parallel: 4, maxLoadedModels: undefined, maxQueue: undefined };
    const report = {
      source: 'agent',
      validForMs: 60_000,
      gpus: [],
      isUnifiedMemory: false,
      host: undefined,
      ollama,
    } as const;
    const told = new NodeLife().see({ kind: 'gpu', report });
    expect(view(told)).toMatchObject({ slots: 4, probeSlotsAt: Number.POSITIVE_INFINITY });
  });

  it('find the slots of a node by themselves, and cost little where there are none', () => {
    for (const real of [1, 4]) {
      const node = new NodeLife().polled();
      let waited = 0;
      for (let second = 0; second < 3_600; second += 1) {
        const { slots, probeSlotsAt } = view(node.wait(1_000));
        // All believed slots are always taken; one more is sent when it may be.
        const concurrency = node.now >= probeSlotsAt ? slots + 1 : slots;
        const isQueued = concurrency > real;
        if (isQueued) waited += 1;
        node.served({
          concurrency,
          servedBeside: isQueued ? real - 1 : concurrency - 1,
          totalMs: isQueued ? 2_000 : 1_005,
        });
      }
      expect(view(node).slots).toBe(real);
      expect(waited).toBeLessThan(10);
    }
  });
});

describe('the slots of one model', () => {
  const slots = (node: NodeLife, model: string): number =>
    slotsFor(viewOf(node.record, node.params, node.now), model, undefined);

  it('are its own once it has shown them; a new model starts from what the node has shown', () => {
    const node = new NodeLife().polled();
    for (let i = 2; i <= 4; i += 1) node.served({ concurrency: i, servedBeside: i - 1 }, 'chat:latest');
    expect(slots(node, 'embed:latest')).toBe(4);
    node.served({ concurrency: 2, servedBeside: 0, totalMs: 5_000 }, 'embed:latest');
    expect([slots(node, 'embed:latest'), slots(node, 'chat:latest'), slots(node, 'new:latest')]).toEqual([
      1, 4, 4,
    ]);
  });

  it('are those of the configuration where it has any', () => {
    const node = new NodeLife({ slots: 3 }).polled();
    node.served({ concurrency: 2, servedBeside: 0, totalMs: 5_000 });
    expect(slots(node, 'm:latest')).toBe(3);
  });
});
