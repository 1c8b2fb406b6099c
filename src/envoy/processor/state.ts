/** The steps of a request as ext_proc names them, in the order in which they may come. */
export const STEPS = [
  'request_headers',
  'request_body',
  'request_trailers',
  'response_headers',
  'response_body',
  'response_trailers',
] as const;
export type Step = (typeof STEPS)[number];

/**
 * start: nothing came yet. deciding: by the headers, at once or when a slot is free. awaiting_body: asked for, to decide.
 * scanning: the body, in slices, then as deciding. awaiting_edit: decided, the body is asked for to be changed. editing: that.
 * answered: routed, or left to Envoy. ended: answered for good, or broken.
 */
export type Phase =
  | 'start'
  | 'deciding'
  | 'awaiting_body'
  | 'scanning'
  | 'awaiting_edit'
  | 'editing'
  | 'answered'
  | 'ended';

export interface StreamState {
  readonly phase: Phase;
  /** Place of the last message in STEPS; -1 before the first. */
  readonly reached: number;
}

/** What to do about a message. `continue`: answer it empty. `violate`: end the stream. `ignore`: too late to matter. */
export type Action = 'decide_by_head' | 'decide_by_body' | 'edit_body' | 'continue' | 'violate' | 'ignore';

export const INITIAL: StreamState = { phase: 'start', reached: -1 };
const ENDED: StreamState = { phase: 'ended', reached: STEPS.length };

/** A message came. Only bodies may come in several pieces; all else comes once and in order. */
export function receive(state: StreamState, step: Step | undefined): { state: StreamState; action: Action } {
  if (state.phase === 'ended') return { state, action: 'ignore' };
  if (step === undefined) return { state: ENDED, action: 'violate' };
  const place = STEPS.indexOf(step);
  const isBody = step === 'request_body' || step === 'response_body';
  const isInOrder =
    place > state.reached || (isBody && place === state.reached && state.phase === 'answered');
  if (!isInOrder) return { state: ENDED, action: 'violate' };
  if (state.phase === 'start') {
    if (step !== 'request_headers') return { state: ENDED, action: 'violate' };
    return { state: { phase: 'deciding', reached: place }, action: 'decide_by_head' };
  }
  if (state.phase === 'awaiting_body' && step === 'request_body')
    return { state: { phase: 'scanning', reached: place }, action: 'decide_by_body' };
  if (state.phase === 'awaiting_edit' && step === 'request_body')
    return { state: { phase: 'editing', reached: place }, action: 'edit_body' };
  // A reply of Envoy's own may overtake a body that is awaited or being read: the request is over then.
  return { state: { phase: 'answered', reached: place }, action: 'continue' };
}

/** What the decision came to: `ask_body`: the headers did not suffice. `ask_edit`: they did, but the body must be changed. */
export type Verdict = 'ask_body' | 'ask_edit' | 'answered' | 'ended';

const AFTER: Record<Verdict, Phase> = {
  ask_body: 'awaiting_body',
  ask_edit: 'awaiting_edit',
  answered: 'answered',
  ended: 'ended',
};

/** Whether an answer to the message at hand is still owed. */
export function isOwed({ phase }: StreamState): boolean {
  return phase === 'deciding' || phase === 'scanning' || phase === 'editing';
}

/** A decision was made and sent. */
export function decide(state: StreamState, verdict: Verdict): StreamState {
  if (!isOwed(state)) return state;
  return { phase: AFTER[verdict], reached: state.reached };
}
