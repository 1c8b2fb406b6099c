import type { Clock, Random } from '../../app/ports.ts';
import { StoreError } from '../contract.ts';
import { retryDelayMs } from './backoff.ts';
import type { RedisClient } from './client.ts';
import { storeErrorOf } from './redis-errors.ts';

/** A connection that is not usable after this long is given up. */
const ATTEMPT_MS = 10_000;
/** One that was usable for less counts as one more failed attempt, or a server at its limit would be tried without end. */
const STABLE_MS = 5_000;

export interface LinkOptions<Client extends RedisClient> {
  readonly clock: Clock;
  readonly random: Random;
  /** A client that is not connected yet and never reconnects by itself. */
  readonly create: (attempt: number) => Client;
  /** Makes a connected client usable; what rejects counts as a failed attempt. */
  readonly prepare: (client: Client) => Promise<void>;
  readonly onUp: (client: Client) => void;
  /** Once after each `onUp`, and once where the first attempt fails. */
  readonly onDown: (error: StoreError) => void;
  /** Each further attempt that fails. */
  readonly onStillDown?: (error: StoreError) => void;
}

/**
 * Keeps one usable connection for as long as it can be had: a lost one is replaced by a new client, after a growing,
 * jittered delay, for ever. A new client each time leaves nothing behind that could be sent twice.
 */
export class Link<Client extends RedisClient> {
  readonly #options: LinkOptions<Client>;
  #current: Client | undefined;
  #isUp: boolean | undefined;
  #isStopped = false;
  #attempt = 0;
  #gainedAt = 0;
  #cancelRetry: () => void = () => {};
  #lose: (error: StoreError) => void = () => {};

  constructor(options: LinkOptions<Client>) {
    this.#options = options;
  }

  /** Undefined while there is no usable connection. */
  get client(): Client | undefined {
    return this.#isUp === true ? this.#current : undefined;
  }

  start(): void {
    if (!this.#isStopped && this.#current === undefined) this.#connect();
  }

  /** Gives the present connection up; the next one is tried after the usual delay. */
  drop(error: StoreError): void {
    this.#lose(error);
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancelRetry();
    this.#lose(new StoreError('disconnected', 'Redis: closed by us'));
  }

  #connect(): void {
    const { clock, create, prepare } = this.#options;
    const client = create(this.#attempt);
    this.#attempt += 1;
    this.#current = client;
    let reason: StoreError | undefined;
    const cancel = clock.after(ATTEMPT_MS, () =>
      lose(new StoreError('timeout', `Redis: no usable connection within ${ATTEMPT_MS} ms`)),
    );
    const lose = (error: StoreError): void => {
      if (this.#current !== client) return;
      cancel();
      this.#current = undefined;
      this.#lose = () => {};
      client.disconnect();
      this.#lost(error);
    };
    this.#lose = lose;
    client.on('error', (error) => {
      reason = storeErrorOf(error);
    });
    client.on('end', () =>
      lose(reason ?? new StoreError('disconnected', 'Redis: the connection was closed')),
    );
    client.once('ready', () => {
      prepare(client).then(
        () => {
          cancel();
          if (this.#current === client) this.#gained(client);
        },
        (error: unknown) => lose(storeErrorOf(error)),
      );
    });
    client.connect().catch((error: unknown) => lose(reason ?? storeErrorOf(error)));
  }

  #gained(client: Client): void {
    this.#gainedAt = this.#options.clock.now();
    this.#isUp = true;
    this.#options.onUp(client);
  }

  #lost(error: StoreError): void {
    const { clock, random, onDown, onStillDown } = this.#options;
    const wasUp = this.#isUp;
    this.#isUp = false;
    if (wasUp === true && clock.now() - this.#gainedAt >= STABLE_MS) this.#attempt = 1;
    if (!this.#isStopped)
      this.#cancelRetry = clock.after(retryDelayMs(Math.max(1, this.#attempt), random), () => this.start());
    if (this.#isStopped) return;
    if (wasUp === false) onStillDown?.(error);
    else onDown(error);
  }
}
