import { RouterError } from '../../request/errors.ts';
import type { Waiter } from '../../waiting/types.ts';
import type { Choice } from './chooser.ts';
import { figuresOf } from './tokens.ts';

/** A wait is called too long only where it is predicted to be that much longer than the time left. */
const DOUBT = 1.5;
/** Samples behind the duration of the model's requests, without which nobody is turned away early. */
const CONFIDENT = 2;
const MAX_RETRY_SECONDS = 600;
/** Long enough for the restart that mostly follows a stop; another replica could take the request at once. */
const RESTART_SECONDS = 5;
/** Ollama's own words, which its clients know. */
const BUSY = 'server busy, please try again';

/** Whether no slot will come in time, for certain: no node could begin now, and those that could begin next are known well. */
function cannotBegin({ ranking, request, situation }: Choice, leftMs: number): boolean {
  const { byId } = situation.snapshot;
  for (const node of ranking.nodes) {
    if (node.startsNow || node.terms.slotWait * 1000 <= leftMs * DOUBT) return false;
    const held = figuresOf(request, byId.get(node.id))?.heldMs;
    if (held === undefined || held.weight < CONFIDENT) return false;
  }
  return true;
}

/** Why no slot comes in time, where that is certain: before its own time is up, or before the line closes. Undefined: one may. */
export function certainlyLate(
  choice: Choice,
  { caller, since, until }: Pick<Waiter, 'caller' | 'since' | 'until'>,
  closesAt: number,
  now: number,
): RouterError | undefined {
  if (cannotBegin(choice, until - now)) return noSlotInTime(choice, caller.maxWaitMs, now - since);
  return cannotBegin(choice, closesAt - now) ? shuttingDown(choice) : undefined;
}

/** Why a newcomer does not get into the line; undefined: it does. */
export function notLetIn(
  newcomer: Pick<Waiter, 'caller' | 'heldBytes' | 'since' | 'until'>,
  choice: Choice,
  line: { readonly size: number; isFull(bytes: number): boolean },
  closesAt: number,
  now: number,
): RouterError | undefined {
  if (closesAt <= now) return shuttingDown(choice);
  if (line.isFull(newcomer.heldBytes)) return lineFull(line.size, choice);
  return certainlyLate(choice, newcomer, closesAt, now);
}

function lineFull(length: number, choice: Choice): RouterError {
  return new RouterError('line_full', `${BUSY}: ${length} requests are waiting already`, {
    retryAfterSeconds: retryAfter(choice),
  });
}

/** `waitedMs` 0: it was not even let in. */
export function noSlotInTime(choice: Choice, maxWaitMs: number, waitedMs: number): RouterError {
  const limit = `${Math.round(maxWaitMs / 100) / 10} s`;
  const isOver = waitedMs >= maxWaitMs;
  const why = isOver
    ? `no node became free for '${echo(choice)}' within ${limit}`
    : `no node will be free for '${echo(choice)}' within ${limit}`;
  return new RouterError('no_slot_in_time', `${BUSY}: ${why}`, { retryAfterSeconds: retryAfter(choice) });
}

/** Its turn does not come before the server ends. */
export function shuttingDown(asked: Pick<Choice, 'request'>): RouterError {
  const why = `no node becomes free for '${echo(asked)}' before that`;
  return new RouterError('shutting_down', `server is shutting down, please try again: ${why}`, {
    retryAfterSeconds: RESTART_SECONDS,
  });
}

/** When the request could begin, as far as is known. */
function retryAfter({ ranking }: Choice): number {
  const soonest = Math.min(...ranking.nodes.map(({ terms }) => terms.slotWait));
  return Math.min(MAX_RETRY_SECONDS, Math.max(1, Math.ceil(Number.isFinite(soonest) ? soonest : 1)));
}

function echo({ request }: Pick<Choice, 'request'>): string {
  const { raw } = request.model;
  return raw.length <= 80 ? raw : `${raw.slice(0, 79)}…`;
}
