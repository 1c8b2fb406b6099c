import type { NodeId } from '../../fleet/types.ts';
import type { NodeAdminError } from '../registry/registry-types.ts';

/** How a request of an agent went; bounded, so that it can be a metric label. */
export type AgentResult =
  | 'accepted'
  | 'malformed'
  | 'stale'
  | 'replayed'
  | 'bad_signature'
  /** This node is not known here: it must join (again). */
  | 'join_required'
  | 'not_your_node'
  | 'refused_address'
  | 'name_taken'
  | 'full'
  | 'removed'
  | 'too_large'
  | 'invalid'
  | 'too_many'
  | 'unavailable';

/** Of the answer. */
export const AGENT_STATUS: Readonly<Record<AgentResult, number>> = {
  accepted: 200,
  malformed: 400,
  stale: 401,
  replayed: 401,
  bad_signature: 401,
  join_required: 401,
  not_your_node: 403,
  refused_address: 403,
  removed: 403,
  full: 403,
  name_taken: 409,
  too_large: 413,
  invalid: 422,
  too_many: 429,
  unavailable: 503,
};

/** Why a request counts for nothing; the message goes to the agent and says what to do. */
export class Refusal extends Error {
  readonly result: AgentResult;

  constructor(result: AgentResult, message: string) {
    super(message);
    this.result = result;
  }
}

/** The registry says no: to the address, or to the name where `conflict` says that this is what clashes. */
export function refusalOf({ reason, message }: NodeAdminError, conflict: AgentResult): Refusal {
  if (reason === 'store_down') return new Refusal('unavailable', message);
  return new Refusal(reason === 'conflict' ? conflict : 'refused_address', message);
}

export function nameTaken(name: NodeId): Refusal {
  return new Refusal(
    'name_taken',
    `the name ${name} belongs to another agent's key; choose another name, or remove that node first`,
  );
}

export function removedNode(name: NodeId): Refusal {
  return new Refusal('removed', `an operator removed ${name}; approve it to let it return`);
}

export function notYourNode(name: NodeId): Refusal {
  return new Refusal('not_your_node', `the body speaks of another node than ${name}, which signed it`);
}
