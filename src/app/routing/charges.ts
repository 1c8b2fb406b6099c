import type { FairShares } from '../../waiting/fair-shares.ts';
import type { Usage } from '../types.ts';

/** Requests whose outcome may still come; the oldest are forgotten first, and keep what they were charged with. */
const MAX_OPEN = 20_000;

interface Charge {
  readonly caller: string;
  readonly tokens: number;
  isRunning: boolean;
}

/** What callers were charged with, until it is known what their requests took. */
export class Charges {
  readonly #shares: FairShares;
  readonly #open = new Map<string, Charge>();

  constructor(shares: FairShares) {
    this.#shares = shares;
  }

  charge(id: string, caller: string, tokens: number, waited: boolean): void {
    this.#shares.starts(caller, tokens, waited);
    this.#open.set(id, { caller, tokens, isRunning: true });
    if (this.#open.size <= MAX_OPEN) return;
    for (const [oldest, { isRunning }] of this.#open) {
      if (isRunning) this.end(oldest);
      this.#open.delete(oldest);
      return;
    }
  }

  /** The request no longer runs. */
  end(id: string): void {
    const charge = this.#open.get(id);
    if (charge === undefined || !charge.isRunning) return;
    charge.isRunning = false;
    this.#shares.ends(charge.caller);
  }

  /** It is known what it took; 0 or nothing: the node did not tell. */
  settle(id: string, { promptTokens, completionTokens }: Usage): void {
    const charge = this.#open.get(id);
    if (charge === undefined) return;
    this.end(id);
    this.#open.delete(id);
    const took = (promptTokens ?? 0) + (completionTokens ?? 0);
    if (took > 0) this.#shares.corrects(charge.caller, took - charge.tokens);
  }
}
