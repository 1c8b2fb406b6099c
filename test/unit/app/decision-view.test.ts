import { expect, it } from 'vitest';
import { Decision, type DecisionFields } from '../../../src/app/decision-log.ts';
import type { Outcome } from '../../../src/app/types.ts';
import type { RankedNode } from '../../../src/routing/types.ts';
import { MODEL, request } from '../routing/builders.ts';
import { address, anOutcome } from './outcomes.ts';

function ranked(index: number): RankedNode {
  return {
    id: `n${index}`,
    address: address(index),
    seconds: index,
    firstTokenSeconds: index,
    completionSeconds: index + 5,
    heldSeconds: 5,
    terms: { roundTrip: 0, slotWait: 0, load: 0, prompt: index, answer: 5, eviction: 0, trust: 0 },
    reason: 'warm_idle',
    isWarm: true,
    startsNow: true,
    cachedBytes: 0,
  };
}

function decision(fields: Partial<DecisionFields> = {}, outcome?: Outcome): Decision {
  const made = new Decision({
    id: 'd1',
    at: new Date('2026-01-01T00:00:00.000Z'),
    request: request({ promptBytes: 90, numCtx: 4_096 }),
    ranking: { nodes: [ranked(1), ranked(2)], rejected: [] },
    snapshotVersion: 3,
    ...fields,
  });
  made.outcome = outcome;
  return made;
}

it('tells what was asked, by whom, how long it waited and why, and what was changed', () => {
  const record = decision({
    asked: 'gpt-4o:latest',
    caller: { id: 'chat', class: 'interactive', maxWaitMs: 1, isPrivileged: false },
    waitedMs: 1_500,
    waitedFor: 'slots_busy',
    edits: [{ field: 'model', to: 'm' }],
  }).toRecord();
  expect(record).toMatchObject({
    asked: 'gpt-4o:latest',
    model: MODEL,
    caller: { id: 'chat', class: 'interactive' },
    waitedMs: 1_500,
    waitedFor: 'slots_busy',
    edits: [{ field: 'model', to: 'm' }],
    features: { promptBytes: 90, numCtx: 4_096, images: 0 },
    snapshotVersion: 3,
    attempts: [],
    seconds: undefined,
  });
});

it('tells of each attempt on which node it was and how it went', () => {
  const made = decision({}, anOutcome({ address: address(2) }));
  made.noteFailure('n1', 'reset');
  expect(made.toRecord().attempts).toEqual([
    { node: 'n1', result: 'reset' },
    { node: 'n2', result: 'served' },
  ]);
});

it('names a broken answer once', () => {
  const made = decision({}, anOutcome({ address: address(1), end: 'truncated' }));
  made.noteFailure('n1', 'truncated');
  expect(made.toRecord().attempts).toEqual([{ node: 'n1', result: 'truncated' }]);
});

it('sets what was predicted for the node that answered beside what came, without the time in the line', () => {
  const outcome = anOutcome({ address: address(2), firstByteMs: 3_500, totalMs: 9_000 });
  expect(decision({ waitedMs: 1_000 }, outcome).toRecord().seconds).toEqual({
    predictedFirstToken: 2,
    predictedCompletion: 7,
    realFirstToken: 2.5,
    realCompletion: 8,
  });
});

it('compares nothing where no whole answer came', () => {
  expect(decision({}, anOutcome({ end: 'client_gone' })).toRecord().seconds).toBeUndefined();
});
