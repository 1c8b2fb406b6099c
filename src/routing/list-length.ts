import type { Entry } from './cost.ts';
import { hostOf } from './host-of.ts';
import type { Question } from './question.ts';
import { isTrusted } from './terms/trust.ts';

/** Nodes that one body may kill, if it is of that kind. */
const SURE_NODES = 2;

/**
 * How many of the best nodes a request may try. Two where nothing speaks against them and they do not stand or fall together:
 * a body that kills nodes would kill a third. All others as well where a failure is likelier to be the nodes' than the body's.
 */
export function lengthOf(best: readonly Entry[], { params, now }: Question): number {
  const [first, second] = best;
  if (first === undefined || second === undefined) return best.length;
  const areSure = isTrusted(first.facts, params, now) && isTrusted(second.facts, params, now);
  return areSure && !isOneMachine(first, second) ? Math.max(SURE_NODES, params.minAttempts) : best.length;
}

/** Nodes of one other machine fail together when it does. On ours they do not: if it fails, nobody is left to ask. */
function isOneMachine(first: Entry, second: Entry): boolean {
  const host = hostOf(first.facts.node.address ?? '');
  return host === hostOf(second.facts.node.address ?? '') && !host.startsWith('127.') && host !== '[::1]';
}
