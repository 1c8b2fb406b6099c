import type { RouteRequest } from '../../request/types.ts';
import type { Place } from '../../waiting/line.ts';
import { longestWaitMs } from '../../waiting/longest-wait.ts';
import type { Caller, Waiter } from '../../waiting/types.ts';
import type { Placing } from '../types.ts';
import type { Choice } from './chooser.ts';

/** A fleet that seems dead is given this time to come back before its waiters are sent to it all the same. */
const RESORT_MS = 2_000;

/** A load that should be done by now takes a little longer. */
const MIN_LOAD_MS = 1_000;

/** A request that has just come. */
export interface Arrival {
  readonly id: string;
  readonly request: RouteRequest;
  readonly caller: Caller;
  readonly heldBytes: number;
  readonly placing: Placing;
}

/** One request in the line. */
export class Standing implements Waiter {
  readonly id: string;
  readonly request: RouteRequest;
  readonly caller: Caller;
  readonly model: string;
  readonly among: RouteRequest['among'];
  readonly since: number;
  until: number;
  readonly heldBytes: number;
  readonly tokens: number;
  readonly placing: Placing;
  state: 'waiting' | 'claiming' | 'over' = 'waiting';
  place: Place<Standing> | undefined;
  cancelDeadline: () => void = () => {};

  constructor(
    arrival: Arrival,
    { now, tokens, model }: { readonly now: number; readonly tokens: number; readonly model: string },
  ) {
    this.id = arrival.id;
    this.request = arrival.request;
    this.caller = arrival.caller;
    this.placing = arrival.placing;
    this.heldBytes = arrival.heldBytes;
    this.model = model;
    this.among = arrival.request.among;
    this.since = now;
    this.until = now + arrival.caller.maxWaitMs;
    this.tokens = tokens;
  }
}

/**
 * When its time is up. Who has no deadline of its own and waits for a load is given the time of the load besides: one that comes a
 * moment later would be served, and to be sent away meanwhile helps nobody.
 */
export function untilOf(standing: Standing, { best }: Choice, now: number): number {
  const { since, caller } = standing;
  const usual = since + caller.maxWaitMs;
  if (best.reason !== 'loading' || caller.hasOwnDeadline === true) return usual;
  const loaded = now + Math.max(MIN_LOAD_MS, best.terms.load * 1000);
  return Math.max(usual, Math.min(loaded + caller.maxWaitMs, since + longestWaitMs(caller)));
}

/** Whether it may begin where it would go. Once the fleet was given its time, that holds for all of its group. */
export function mayBegin({ place }: Standing, { best, situation }: Choice): boolean {
  const group = place?.group;
  if (best.reason !== 'last_resort') {
    if (group !== undefined) group.resortSince = undefined;
    return best.startsNow;
  }
  if (group === undefined) return true;
  group.resortSince ??= situation.now;
  return situation.now - group.resortSince >= RESORT_MS;
}

/** Requests that any slot suits equally: the same models, the same demands. */
export function groupOf(asked: RouteRequest): string {
  const { model, endpoint, numCtx, images, wantsTools, fallbackModels, runnerOptions, among } = asked;
  const fallbacks = fallbackModels.map(({ key }) => key).join(',');
  return [
    model.key,
    endpoint.operation === 'embed' ? 'embed' : '',
    endpoint.family === 'ollama' ? '' : 'v1',
    numCtx ?? '',
    images > 0 ? 'i' : '',
    wantsTools ? 't' : '',
    fallbacks,
    runnerOptions.join(','),
    among === undefined ? '' : amongKey(among),
  ].join('\n');
}

const AMONG_KEYS = new WeakMap<ReadonlySet<string>, string>();

/** The same for equal sets. A list may be long, and is asked for again and again while its request waits. */
function amongKey(among: ReadonlySet<string>): string {
  let key = AMONG_KEYS.get(among);
  if (key === undefined) {
    key = [...among].sort().join(',');
    AMONG_KEYS.set(among, key);
  }
  return key;
}
