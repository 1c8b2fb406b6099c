import { RouterError } from '../request/errors.ts';
import type { RouteRequest } from '../request/types.ts';
import type { Caller } from './types.ts';

/** Callers remembered at once; the one that was seen longest ago is forgotten first. */
const MAX_CALLERS = 10_000;
const MINUTE_MS = 60_000;

interface Bucket {
  readonly tokens: number;
  /** Monotonic ms. */
  readonly at: number;
}

/**
 * How often one caller may ask for nothing but the load of a model: each such request may drive out what others use. A
 * bucket of tokens for each caller, full at first. Not for the privileged.
 */
export class PreloadLimit {
  readonly #buckets = new Map<string, Bucket>();

  /**
   * Takes one of the caller's tokens for a preload; other requests cost nothing. `perMinute` is the bucket's size and what
   * flows in; 0: no limit. Throws RouterError `rate_limited` with the seconds until the next token.
   */
  check(request: RouteRequest, caller: Caller, perMinute: number, now: number): void {
    if (!isPreload(request) || caller.isPrivileged || perMinute === 0) return;
    const before = this.#buckets.get(caller.id);
    const flowed = before === undefined ? perMinute : (Math.max(0, now - before.at) * perMinute) / MINUTE_MS;
    const tokens = Math.min(perMinute, (before?.tokens ?? 0) + flowed);
    const isAllowed = tokens >= 1;
    this.#buckets.delete(caller.id);
    this.#buckets.set(caller.id, { tokens: isAllowed ? tokens - 1 : tokens, at: now });
    this.#forget();
    if (isAllowed) return;
    throw new RouterError('rate_limited', 'too many requests that only load a model: try again later', {
      retryAfterSeconds: ((1 - tokens) * MINUTE_MS) / perMinute / 1000,
    });
  }

  #forget(): void {
    if (this.#buckets.size <= MAX_CALLERS) return;
    for (const id of this.#buckets.keys()) {
      this.#buckets.delete(id);
      return;
    }
  }
}

/** The request only loads its model. */
function isPreload({ endpoint, isEmpty, unloads }: RouteRequest): boolean {
  return isEmpty && !unloads && endpoint.operation !== 'show';
}
