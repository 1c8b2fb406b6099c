import type { Redis } from 'ioredis';
import type { Clock, Random } from '../../app/ports.ts';
import { type ReplicaId, StoreError, type StoreMessage } from '../contract.ts';
import { createSubscriber, type RedisTarget } from './client.ts';
import type { Keys } from './keys.ts';
import { Link } from './link.ts';
import { decodeMessage, isMessageOf } from './messages.ts';
import { storeErrorOf } from './redis-errors.ts';

/** A connection that only listens looks the same whether it is quiet or dead. */
const PING_MS = 2_000;

interface Subscriber {
  readonly replica: ReplicaId;
  readonly listener: (message: StoreMessage) => void;
}

export interface BusOptions {
  readonly target: RedisTarget;
  readonly keys: Keys;
  readonly clock: Clock;
  readonly random: Random;
  readonly timeoutMs: number;
  /** A message was not one of ours. */
  readonly onRejected: () => void;
  /** It hears messages, or does so no longer. */
  readonly onChange: (error: StoreError | undefined) => void;
}

/** Messages of other replicas, over a connection of its own that subscribes again whenever it was lost. */
export class Bus {
  readonly #options: BusOptions;
  readonly #link: Link<Redis>;
  readonly #subscribers = new Set<Subscriber>();
  readonly #channels = new Set<string>();
  #cancelPing: () => void = () => {};

  constructor(options: BusOptions) {
    this.#options = options;
    const { clock, random, target } = options;
    this.#link = new Link({
      clock,
      random,
      create: (attempt) => createSubscriber(target, attempt),
      prepare: async (client) => {
        client.on('message', (channel, text) => this.#received(channel, text));
        await client.subscribe(...this.#channels);
      },
      onUp: (client) => {
        this.#ping(client);
        options.onChange(undefined);
      },
      onDown: options.onChange,
    });
  }

  /** Whether all that is said now will be heard; also where nobody listens. */
  get isUp(): boolean {
    return this.#subscribers.size === 0 || this.#link.client !== undefined;
  }

  subscribe(replica: ReplicaId, listener: (message: StoreMessage) => void): () => void {
    const subscriber = { replica, listener };
    this.#subscribers.add(subscriber);
    const wanted = [this.#options.keys.toAll, this.#options.keys.toOne(replica)];
    const missing = wanted.filter((channel) => !this.#channels.has(channel));
    for (const channel of missing) this.#channels.add(channel);
    const client = this.#link.client;
    if (client === undefined) this.#link.start();
    else if (missing.length > 0)
      client.subscribe(...missing).catch((error: unknown) => this.#link.drop(storeErrorOf(error)));
    return () => {
      this.#subscribers.delete(subscriber);
      if ([...this.#subscribers].some((other) => other.replica === replica)) return;
      this.#channels.delete(this.#options.keys.toOne(replica));
      // A channel that stays subscribed because the connection fails now is not asked for again with the next one.
      this.#link.client?.unsubscribe(this.#options.keys.toOne(replica)).catch(() => {});
    };
  }

  close(): void {
    this.#cancelPing();
    this.#subscribers.clear();
    this.#link.stop();
  }

  #received(channel: string, text: string): void {
    const subscribers = [...this.#subscribers];
    // Much of what a busy replica hears is its own: not worth reading.
    if (subscribers.every(({ replica }) => isMessageOf(replica, text))) return;
    const message = decodeMessage(text);
    if (message === undefined) {
      this.#options.onRejected();
      return;
    }
    for (const { replica, listener } of subscribers) {
      const isFor = channel === this.#options.keys.toAll || channel === this.#options.keys.toOne(replica);
      if (isFor && message.from !== replica && (message.to ?? replica) === replica) listener(message);
    }
  }

  #ping(client: Redis): void {
    const { clock, timeoutMs } = this.#options;
    this.#cancelPing = clock.after(PING_MS, () => {
      if (this.#link.client !== client) return;
      const cancel = clock.after(Math.max(PING_MS, 4 * timeoutMs), () =>
        this.#link.drop(new StoreError('timeout', 'Redis: the connection for messages is dead')),
      );
      client
        .ping()
        .then(() => this.#ping(client))
        .catch((error: unknown) => {
          if (this.#link.client === client) this.#link.drop(storeErrorOf(error));
        })
        .finally(cancel);
    });
  }
}
