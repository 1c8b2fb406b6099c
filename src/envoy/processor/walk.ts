import type { AttemptReport, RouteDecision } from '../../app/types.ts';
import type { FailureReason } from '../../fleet/types.ts';
import { failureReason } from '../accesslog/attempt.ts';
import type { Flag } from '../accesslog/flags.ts';
import type { AnswerHead } from './answer-head.ts';

/** How the proxy walked down the list that it was given. */
export interface Walk {
  /** The node that answered or was tried last, as far as that is known: the first of the list, if need be. */
  readonly address: string | undefined;
  /** Nobody says which of several it was. */
  readonly isAssumed: boolean;
  /** As told, or as the place in the list says. */
  readonly attempts: number;
  readonly failures: readonly AttemptReport[];
}

/** No node was asked. */
export const NO_WALK: Walk = { address: undefined, isAssumed: false, attempts: 0, failures: [] };

/** What the head of an answer tells of the attempts before it, and of its own where that failed. */
export function walkOf({ id, addresses }: RouteDecision, head: AnswerHead): Walk {
  const { served, attempts } = head;
  // No node was asked: the proxy refused the request by itself.
  if (attempts === 0) return NO_WALK;
  // A list that is shorter than the proxy's retries begins again.
  const counted = attempts === undefined ? undefined : addresses[(attempts - 1) % addresses.length];
  const address = served?.address ?? counted ?? addresses[0];
  const before = walkedPast(addresses, address, head);
  const failures: AttemptReport[] = before.map((failed) => ({
    decisionId: id,
    address: failed,
    reason: 'unexplained',
    status: undefined,
    retryAfterMs: undefined,
  }));
  const reason = lastFailure(head);
  if (reason !== undefined && address !== undefined) {
    const { status, retryAfterMs, isFromNode } = head;
    const answered = isFromNode === true ? status : undefined;
    failures.push({ decisionId: id, address, reason, status: answered, retryAfterMs });
  }
  return {
    address,
    isAssumed: served === undefined && counted === undefined && addresses.length > 1,
    attempts: attempts ?? before.length + 1,
    failures,
  };
}

/**
 * Nodes that were tried before. A proxy may also skip those that it does not know, or heed no list at all: only where the
 * number of attempts fits, or the policy that walks the list speaks, does a place further up mean that a node has failed.
 */
function walkedPast(
  addresses: readonly string[],
  address: string | undefined,
  { served, attempts }: AnswerHead,
): readonly string[] {
  const at = address === undefined ? -1 : addresses.indexOf(address);
  if (attempts === undefined) return at > 0 && served?.toldBy === 'policy' ? addresses.slice(0, at) : [];
  if (attempts > addresses.length) return addresses.filter((tried) => tried !== address);
  const before = at < 0 ? addresses.length : at;
  return attempts - 1 >= before ? addresses.slice(0, before) : [];
}

/** What Envoy says of attempts that no answer came of. */
const CUT: readonly Flag[] = ['UF', 'UC', 'UR', 'LR', 'UT', 'UPE', 'SI', 'DT', 'UMSDR'];

/** Why the last attempt failed; undefined where it did not, or where it may have been the proxy that refused. */
function lastFailure({ status, isFromNode, details, flags, served }: AnswerHead): FailureReason | undefined {
  if (status !== 0 && status < 400) return undefined;
  if (isFromNode === true) return failureReason({ status, flags: NO_FLAGS, transport: '' });
  if (CUT.some((flag) => flags.has(flag)))
    return failureReason({ status: undefined, flags, transport: details });
  return isFromNode === undefined && served !== undefined && status >= 500 ? 'unexplained' : undefined;
}

const NO_FLAGS: ReadonlySet<Flag> = new Set();
