import type { FailureReason, NodeId } from '../fleet/types.ts';
import { RouterError } from '../request/errors.ts';

/** Deaths on that many different nodes, within `WINDOW_MS`, and the body is refused for `REFUSED_MS`. */
const MAX_DEATHS = 2;
const WINDOW_MS = 300_000;
const REFUSED_MS = 300_000;
/** Bodies that are remembered; those whose last failure is the longest ago are forgotten first. */
const MAX_BODIES = 4_096;
/** So many bodies condemned within `FLEET_WINDOW_MS`: the fleet is being restarted or cut off, no body is to blame. */
const FLEET_BODIES = 8;
const FLEET_WINDOW_MS = 60_000;

/**
 * How much of a death a failed attempt is. A refused connection never saw the body, a timeout kills nobody, and 4xx and
 * busy are answers of living nodes. 500 comes from a dying runner as well as from a living one that dislikes the request,
 * whose own words the client should rather read: half.
 */
const DEATH: Partial<Record<FailureReason, number>> = {
  reset: 1,
  truncated: 1,
  in_band_error: 1,
  server_error: 0.5,
};

interface Strike {
  readonly node: NodeId;
  readonly weight: number;
  readonly at: number;
}

interface Suspect {
  strikes: Strike[];
  /** Monotonic ms; undefined while it may still be tried. */
  refusedUntil: number | undefined;
}

/**
 * Keeps a request that crashes whoever runs it from being handed from node to node. A body (by its fingerprint) that was
 * running on two different nodes when they failed is refused for a while. What dies with a node is held only against the
 * requests that ran there, so a restart of one node condemns nobody; a body that some node answers is cleared; and where
 * many bodies would be condemned at once it is the fleet that fails. Times are monotonic ms. Bounded in memory.
 */
export class QueryGuard {
  /** The one longest without a failure is first. */
  readonly #suspects = new Map<string, Suspect>();
  readonly #condemned: { readonly fingerprint: string; readonly at: number }[] = [];
  #refusals = 0;

  /** Requests refused so far. */
  get refusals(): number {
    return this.#refusals;
  }

  /** Bodies that are refused now. */
  refusedBodies(now: number): number {
    let count = 0;
    for (const { refusedUntil } of this.#suspects.values()) if ((refusedUntil ?? 0) > now) count += 1;
    return count;
  }

  /** Throws RouterError `query_of_death` for a body that is refused now. */
  check(fingerprint: string, now: number): void {
    const until = this.#suspects.get(fingerprint)?.refusedUntil;
    if (until === undefined || until <= now) return;
    this.#refusals += 1;
    const seconds = Math.ceil((until - now) / 1000);
    throw new RouterError(
      'query_of_death',
      'this request is refused: the nodes that ran it before failed, as if it crashed them; ' +
        `change it, or try again in ${seconds} s`,
      { retryAfterSeconds: seconds },
    );
  }

  /**
   * Nodes that may still be tried with a body that was there when one failed: the list that Envoy walks must not be longer.
   * At least 1; Infinity for all other bodies, whose lists routing keeps short.
   */
  attemptsLeft(fingerprint: string, now: number): number {
    const suspect = this.#suspects.get(fingerprint);
    const deaths = suspect === undefined ? 0 : deathsOf(suspect.strikes, now);
    return deaths === 0 ? Number.POSITIVE_INFINITY : Math.max(1, MAX_DEATHS - Math.floor(deaths));
  }

  /** An attempt with the body failed. `''` stands for a body that is not known: never held against anybody. */
  failed(fingerprint: string, node: NodeId, reason: FailureReason, now: number): void {
    const weight = DEATH[reason];
    if (fingerprint === '' || weight === undefined) return;
    const suspect = this.#suspects.get(fingerprint) ?? { strikes: [], refusedUntil: undefined };
    const before = suspect.strikes.find((strike) => strike.node === node);
    suspect.strikes = [
      ...suspect.strikes.filter((strike) => strike.node !== node && now - strike.at < WINDOW_MS),
      { node, weight: Math.max(weight, before?.weight ?? 0), at: now },
    ].slice(-MAX_DEATHS * 2);
    // Re-inserted at the end: the first entry is the one to forget.
    this.#suspects.delete(fingerprint);
    this.#suspects.set(fingerprint, suspect);
    if (deathsOf(suspect.strikes, now) >= MAX_DEATHS) this.#condemn(fingerprint, suspect, now);
    for (const oldest of this.#suspects.keys()) {
      if (this.#suspects.size <= MAX_BODIES) break;
      this.#suspects.delete(oldest);
    }
  }

  /** A node answered the body to its end: it kills nobody. */
  served(fingerprint: string): void {
    if (this.#suspects.size > 0) this.#suspects.delete(fingerprint);
  }

  #condemn(fingerprint: string, suspect: Suspect, now: number): void {
    const lately = this.#condemned.filter(
      (earlier) => now - earlier.at < FLEET_WINDOW_MS && earlier.fingerprint !== fingerprint,
    );
    lately.push({ fingerprint, at: now });
    this.#condemned.splice(0, this.#condemned.length, ...lately.slice(-FLEET_BODIES));
    if (lately.length < FLEET_BODIES) {
      suspect.refusedUntil = now + REFUSED_MS;
      return;
    }
    for (const pardoned of lately) this.#suspects.delete(pardoned.fingerprint);
  }
}

function deathsOf(strikes: readonly Strike[], now: number): number {
  let deaths = 0;
  for (const { at, weight } of strikes) if (now - at < WINDOW_MS) deaths += weight;
  return deaths;
}
