import type { Clock } from '../../app/ports.ts';
import { StoreError, type StoreErrorReason } from '../contract.ts';
import type { StoreTelemetry } from '../telemetry.ts';
import { isServerWide, storeErrorOf } from './redis-errors.ts';

/** Commands that Redis has not answered yet, those given up on included. */
export const MAX_PENDING = 1_000;
const FAILURES_UNTIL_OPEN = 5;

export interface GateOptions {
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly telemetry: StoreTelemetry;
  /** False for a cluster. */
  readonly isOneServer: boolean;
  /** This command cannot be done, while others may. */
  readonly onRefused: (error: StoreError) => void;
  /** So many commands in a row failed in a way that the next one would too: the gate is shut. */
  readonly onTripped: (error: StoreError) => void;
}

/**
 * Lets commands through to Redis: each ends within the timeout, few wait, and none is sent while it is shut. Whoever
 * owns it opens it when a probe has succeeded.
 */
export class Gate {
  readonly #options: GateOptions;
  #shut: StoreErrorReason | undefined = 'disconnected';
  #pending = 0;
  #failures = 0;

  constructor(options: GateOptions) {
    this.#options = options;
  }

  /** Commands that Redis owes an answer. */
  get pending(): number {
    return this.#pending;
  }

  open(): void {
    this.#shut = undefined;
    this.#failures = 0;
  }

  shut(reason: 'disconnected' | 'breaker_open'): void {
    this.#shut = reason;
  }

  /** Rejects with StoreError. */
  async run<T>(name: string, command: () => Promise<T>): Promise<T> {
    const { clock, telemetry } = this.#options;
    const refusal = this.#refusal();
    if (refusal !== undefined) {
      telemetry.storeCommand(name, refusal.reason, 0);
      throw refusal;
    }
    const startedAt = clock.now();
    try {
      const answer = await this.#bounded(command);
      this.#failures = 0;
      telemetry.storeCommand(name, 'ok', (clock.now() - startedAt) / 1000);
      return answer;
    } catch (reason) {
      const error = storeErrorOf(reason);
      telemetry.storeCommand(name, error.reason, (clock.now() - startedAt) / 1000);
      this.#failed(error);
      throw error;
    }
  }

  /** Asks although the gate is shut: nothing else would ever open it. */
  async probe<T>(command: () => Promise<T>): Promise<T> {
    try {
      return await this.#bounded(command);
    } catch (reason) {
      throw storeErrorOf(reason);
    }
  }

  #refusal(): StoreError | undefined {
    if (this.#shut === 'disconnected') return new StoreError('disconnected', 'Redis is not connected');
    if (this.#shut !== undefined)
      return new StoreError(this.#shut, 'Redis failed several times in a row and is not asked for now');
    if (this.#pending < MAX_PENDING) return undefined;
    return new StoreError('overloaded', `${MAX_PENDING} commands wait for Redis already`);
  }

  #failed(error: StoreError): void {
    const { isOneServer, onRefused, onTripped } = this.#options;
    const isFatal = isServerWide(error);
    if (!isFatal && error.reason !== 'timeout' && error.reason !== 'disconnected') {
      this.#failures = 0;
      onRefused(error);
      return;
    }
    // In a cluster it may be one node of many that fails.
    this.#failures += isFatal && isOneServer ? FAILURES_UNTIL_OPEN : 1;
    if (this.#failures < FAILURES_UNTIL_OPEN || this.#shut !== undefined) return;
    this.#shut = 'breaker_open';
    onTripped(error);
  }

  #bounded<T>(command: () => Promise<T>): Promise<T> {
    const { clock, timeoutMs } = this.#options;
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const cancel = clock.after(timeoutMs, () =>
      reject(new StoreError('timeout', `Redis did not answer within ${timeoutMs} ms`)),
    );
    this.#pending += 1;
    // What answers late still counts as pending until then: memory is bounded, not patience.
    command()
      .then(resolve, reject)
      .finally(() => {
        cancel();
        this.#pending -= 1;
      });
    return promise;
  }
}
