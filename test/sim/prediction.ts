import { plainRequest } from '../../src/request/plain-request.ts';
import { Simulation } from '../../src/simulate/engine/engine.ts';
import type {
  SimDriver,
  SimHost,
  SimModelSpec,
  SimNodeSpec,
  SimOutcome,
  SimRequest,
} from '../../src/simulate/types.ts';

/** A request to a given node at a given time. */
export interface PlannedRequest {
  readonly atMs: number;
  readonly node: string;
  readonly model: string;
  readonly promptTokens: number;
  readonly answerTokens: number;
  readonly numCtx?: number | undefined;
}

const ENDPOINT = {
  path: '/api/generate',
  family: 'ollama',
  operation: 'generate',
  acceptsName: false,
} as const;

/** What the engine says of the requests, each sent to the node that the plan names. */
export function predict(
  nodes: readonly SimNodeSpec[],
  models: readonly SimModelSpec[],
  plan: readonly PlannedRequest[],
) {
  const requests = plan.map(
    ({ atMs, model, promptTokens, answerTokens, numCtx }, id): SimRequest => ({
      id,
      arrivesAt: atMs,
      request: plainRequest(ENDPOINT, { raw: model, key: model }, { stream: true, numCtx }),
      caller: { id: 'test', class: 'normal', maxWaitMs: 0, isPrivileged: false },
      promptTokens,
      answerTokens,
      session: undefined,
      sharedTokens: 0,
      patienceMs: undefined,
    }),
  );
  const scenario = { name: 'plan', about: '', nodes, models, requests, events: [] };
  return new Simulation({ scenario, seed: 1, driver: (host) => asPlanned(host, plan) }).run();
}

function asPlanned(host: SimHost, plan: readonly PlannedRequest[]): SimDriver {
  return {
    name: 'as planned',
    decisions: 0,
    arrive: ({ id }) => host.dispatch(id, plan[id]?.node ?? ''),
    began: () => {},
    ended: (id, _node, { canRetry }) => canRetry && host.refuse(id, 'failed'),
    left: () => {},
  };
}

export const firstTokenMs = ({ firstTokenAt, arrivedAt }: SimOutcome): number =>
  (firstTokenAt ?? 0) - arrivedAt;
export const completionMs = ({ endedAt, arrivedAt }: SimOutcome): number => endedAt - arrivedAt;

/** Median of |predicted - real| over the real; what is shorter than `floorMs` counts as that long. */
export function medianError(predicted: readonly number[], real: readonly number[], floorMs: number): number {
  const errors = predicted.map(
    (value, at) => Math.abs(value - (real[at] ?? 0)) / Math.max(floorMs, real[at] ?? 0),
  );
  errors.sort((a, b) => a - b);
  return errors[errors.length >> 1] ?? 0;
}
