/** Tokens that a caller whom nobody made wait may be ahead of the others: what was free then is not held against it for long. */
const MAX_LEAD = 16_384;
/** Callers that are remembered while they neither wait nor run anything. */
const MAX_IDLE = 10_000;

interface Share {
  /** Tokens charged so far, on the line's own scale. */
  tokens: number;
  waiting: number;
  running: number;
}

/**
 * Who has had how much: tokens per caller, so that slots are shared out by work and not by the number of requests. The
 * virtual time is what a caller with a fair share would have had by now. A newcomer starts there, not at zero, so nobody
 * gains by staying away; and as it moves on with all that is served, whoever is far ahead of it is reached at last,
 * however many newcomers there are. Bounded in memory.
 */
export class FairShares {
  readonly #shares = new Map<string, Share>();
  #virtual = 0;
  #active = 0;

  /** Tokens of the caller; small is first. Unknown callers have had what is fair. */
  had(caller: string): number {
    return this.#shares.get(caller)?.tokens ?? this.#virtual;
  }

  /** Requests of the caller that run now. */
  running(caller: string): number {
    return this.#shares.get(caller)?.running ?? 0;
  }

  /** A request of the caller joins the line. */
  waits(caller: string): void {
    const share = this.#activate(caller);
    share.waiting += 1;
  }

  /** It left the line without being served. */
  leaves(caller: string): void {
    const share = this.#shares.get(caller);
    if (share === undefined) return;
    share.waiting = Math.max(0, share.waiting - 1);
    this.#rest(caller, share);
  }

  /** A request of the caller begins; `waited`: it stood in the line. */
  starts(caller: string, tokens: number, waited: boolean): void {
    const share = this.#activate(caller);
    if (waited) share.waiting = Math.max(0, share.waiting - 1);
    share.running += 1;
    const charged = share.tokens + tokens;
    share.tokens = waited ? charged : Math.max(share.tokens, Math.min(charged, this.#virtual + MAX_LEAD));
    this.#virtual += tokens / Math.max(1, this.#active);
  }

  /** It took so many tokens more (or, negative, fewer) than it was charged. */
  corrects(caller: string, tokens: number): void {
    const share = this.#shares.get(caller);
    if (share !== undefined) share.tokens = Math.max(0, share.tokens + tokens);
  }

  /** It ended. */
  ends(caller: string): void {
    const share = this.#shares.get(caller);
    if (share === undefined) return;
    share.running = Math.max(0, share.running - 1);
    this.#rest(caller, share);
  }

  #activate(caller: string): Share {
    const known = this.#shares.get(caller);
    if (known !== undefined) {
      if (known.waiting + known.running === 0) {
        this.#active += 1;
        known.tokens = Math.max(known.tokens, this.#virtual);
      }
      return known;
    }
    const share = { tokens: this.#virtual, waiting: 0, running: 0 };
    this.#shares.set(caller, share);
    this.#active += 1;
    return share;
  }

  /** Whoever has had no more than is fair need not be remembered. */
  #rest(caller: string, share: Share): void {
    if (share.waiting + share.running > 0) return;
    this.#active = Math.max(0, this.#active - 1);
    this.#shares.delete(caller);
    if (share.tokens <= this.#virtual) return;
    this.#shares.set(caller, share);
    if (this.#shares.size - this.#active <= MAX_IDLE) return;
    for (const [name, { waiting, running }] of this.#shares) {
      if (waiting + running > 0) continue;
      this.#shares.delete(name);
      return;
    }
  }
}
