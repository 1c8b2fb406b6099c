import type { Clock } from '../../app/ports.ts';
import type { ModelKey } from '../../fleet/types.ts';

interface Account {
  waiting: number;
  free: number;
  at: number;
}

/** Adds up the time in which slots stood idle with a model in memory while requests for that model waited. */
export class WasteMeter {
  readonly #clock: Clock;
  readonly #accounts = new Map<ModelKey, Account>();
  #wasteMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get wasteMs(): number {
    for (const account of this.#accounts.values()) this.#add(account);
    return this.#wasteMs;
  }

  waiting(model: ModelKey, change: number): void {
    this.#account(model).waiting += change;
  }

  free(model: ModelKey, change: number): void {
    this.#account(model).free += change;
  }

  #account(model: ModelKey): Account {
    let account = this.#accounts.get(model);
    if (account === undefined) {
      account = { waiting: 0, free: 0, at: this.#clock.now() };
      this.#accounts.set(model, account);
    }
    this.#add(account);
    return account;
  }

  #add(account: Account): void {
    const now = this.#clock.now();
    this.#wasteMs += Math.min(account.waiting, account.free) * (now - account.at);
    account.at = now;
  }
}
