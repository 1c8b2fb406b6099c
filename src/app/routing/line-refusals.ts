import { RouterError } from '../../request/errors.ts';
import type { Choice } from './chooser.ts';
import { figuresOf } from './tokens.ts';

/** A wait is called too long only where it is predicted to be that much longer than the time left. */
const DOUBT = 1.5;
/** Samples behind the duration of the model's requests, without which nobody is turned away early. */
const CONFIDENT = 2;
const MAX_RETRY_SECONDS = 600;
/** Ollama's own words, which its clients know. */
const BUSY = 'server busy, please try again';

/** Whether no slot will come in time, for certain: no node could begin now, and those that could begin next are known well. */
export function cannotBegin({ ranking, request, situation }: Choice, leftMs: number): boolean {
  const { byId } = situation.snapshot;
  for (const node of ranking.nodes) {
    if (node.startsNow || node.terms.slotWait * 1000 <= leftMs * DOUBT) return false;
    const held = figuresOf(request, byId.get(node.id))?.heldMs;
    if (held === undefined || held.weight < CONFIDENT) return false;
  }
  return true;
}

export function lineFull(length: number, choice: Choice): RouterError {
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

/** When the request could begin, as far as is known. */
function retryAfter({ ranking }: Choice): number {
  const soonest = Math.min(...ranking.nodes.map(({ terms }) => terms.slotWait));
  return Math.min(MAX_RETRY_SECONDS, Math.max(1, Math.ceil(Number.isFinite(soonest) ? soonest : 1)));
}

function echo({ request }: Choice): string {
  const { raw } = request.model;
  return raw.length <= 80 ? raw : `${raw.slice(0, 79)}…`;
}
