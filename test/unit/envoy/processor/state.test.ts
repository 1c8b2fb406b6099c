import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Action,
  decide,
  INITIAL,
  receive,
  STEPS,
  type Step,
  type StreamState,
  type Verdict,
} from '../../../../src/envoy/processor/state.ts';

/** Runs steps through the machine; a decision is made at once after a message that asks for one. */
function run(
  steps: readonly (Step | undefined)[],
  verdicts: readonly Verdict[],
): { actions: Action[]; state: StreamState } {
  const left = [...verdicts];
  const actions: Action[] = [];
  let state = INITIAL;
  for (const step of steps) {
    const next = receive(state, step);
    state = next.state;
    actions.push(next.action);
    if (next.action === 'decide_by_head' || next.action === 'decide_by_body') {
      const verdict = left.shift();
      if (verdict !== undefined) state = decide(state, verdict);
    }
  }
  return { actions, state };
}

describe('the ext_proc stream', () => {
  it.each<{ name: string; steps: Step[]; verdicts: Verdict[]; want: Action[] }>([
    {
      name: 'routed by its headers',
      steps: ['request_headers'],
      verdicts: ['answered'],
      want: ['decide_by_head'],
    },
    {
      name: 'routed by its body',
      steps: ['request_headers', 'request_body', 'response_headers', 'response_trailers'],
      verdicts: ['ask_body', 'answered'],
      want: ['decide_by_head', 'decide_by_body', 'continue', 'continue'],
    },
    {
      name: 'refused, then late messages',
      steps: ['request_headers', 'request_body', 'response_headers'],
      verdicts: ['ended'],
      want: ['decide_by_head', 'ignore', 'ignore'],
    },
    {
      name: 'an answer of Envoy’s own overtakes the body that is read',
      steps: ['request_headers', 'request_body', 'response_headers'],
      verdicts: ['ask_body'],
      want: ['decide_by_head', 'decide_by_body', 'continue'],
    },
    {
      name: 'answer bodies in pieces',
      steps: ['request_headers', 'response_headers', 'response_body', 'response_body'],
      verdicts: ['answered'],
      want: ['decide_by_head', 'continue', 'continue', 'continue'],
    },
    {
      name: 'body first',
      steps: ['request_body', 'request_headers'],
      verdicts: [],
      want: ['violate', 'ignore'],
    },
    {
      name: 'trailers twice',
      steps: ['request_headers', 'request_trailers', 'request_trailers'],
      verdicts: ['answered'],
      want: ['decide_by_head', 'continue', 'violate'],
    },
  ])('$name', ({ steps, verdicts, want }) => {
    expect(run(steps, verdicts).actions).toEqual(want);
  });

  it('treats a message of no known kind as a violation', () => {
    expect(run([undefined], []).actions).toEqual(['violate']);
  });

  it('drops a decision that comes after the stream went on without it', () => {
    const { state } = run(['request_headers', 'request_body', 'response_headers'], ['ask_body']);
    expect(state.phase).toBe('answered');
    expect(decide(state, 'ended')).toBe(state);
  });

  it('decides by headers once at most, then by body once at most, and nothing after the end', () => {
    const steps = fc.array(fc.constantFrom<Step | undefined>(...STEPS, undefined), { maxLength: 20 });
    const verdicts = fc.array(fc.constantFrom<Verdict>('ask_body', 'answered', 'ended'), { maxLength: 3 });
    fc.assert(
      fc.property(steps, verdicts, (messages, decisions) => {
        const { actions } = run(messages, decisions);
        const decided = actions.filter((action) => action.startsWith('decide'));
        expect([[], ['decide_by_head'], ['decide_by_head', 'decide_by_body']]).toContainEqual(decided);
        const end = actions.indexOf('violate');
        if (end >= 0) expect(actions.slice(end + 1).every((action) => action === 'ignore')).toBe(true);
      }),
    );
  });
});
