import { Redis } from 'ioredis';
import type { Log } from '../../app/log.ts';
import type { Clock, Random } from '../../app/ports.ts';
import { type ReplicaId, StoreError, type StoreMessage, type StoreState } from '../contract.ts';
import type { StoreTelemetry } from '../telemetry.ts';
import { Bus } from './bus.ts';
import { createClient, type RedisClient, type RedisTarget, runScript } from './client.ts';
import { Gate } from './gate.ts';
import type { Keys } from './keys.ts';
import { Link } from './link.ts';
import { replyCode } from './redis-errors.ts';
import { remedyOf } from './remedy.ts';
import type { Script } from './scripts/lua.ts';

export interface ConnectionOptions {
  readonly target: RedisTarget;
  readonly keys: Keys;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly telemetry: StoreTelemetry;
  readonly timeoutMs: number;
  readonly onRejectedMessage: () => void;
}

const MAX_REFUSALS_SAID = 16;
type Argument = string | number;

/**
 * Redis as the store sees it: two connections, one for commands and one for messages, and one state. `up` means that
 * the last probe could write and that messages are heard: what was missed before must be read again then.
 */
export class Connection {
  readonly #options: ConnectionOptions;
  readonly #gate: Gate;
  readonly #link: Link<RedisClient>;
  readonly #bus: Bus;
  readonly #listeners = new Set<(state: StoreState) => void>();
  readonly #refusals = new Set<string>();
  #state: StoreState = 'connecting';
  #said: 'up' | 'down' | undefined;
  readonly #remediesSaid = new Set<string>();
  #wasUp = false;
  #isClosed = false;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    const { clock, random, target, keys, telemetry, timeoutMs } = options;
    this.#gate = new Gate({
      clock,
      timeoutMs,
      telemetry,
      isOneServer: target.kind !== 'cluster',
      onRefused: (error) => this.#refused(error),
      // A new connection drops what the old one still owes, and its probe decides when commands are sent again.
      onTripped: (error) => this.#link.drop(error),
    });
    this.#link = new Link({
      clock,
      random,
      create: () => createClient(target),
      // Writes, because a replica, a full server and a user without rights all answer PING.
      prepare: async (client) => {
        // ioredis selects it as well, but goes on with another one where that fails.
        if (target.db !== 0 && client instanceof Redis)
          await this.#gate.probe(() => client.select(target.db));
        await this.#gate.probe(() => client.set(keys.probe, '1', 'PX', 60_000));
      },
      onUp: () => {
        this.#gate.open();
        this.#update();
      },
      onDown: (error) => {
        this.#gate.shut(error.reason === 'disconnected' ? 'disconnected' : 'breaker_open');
        this.#update(error);
      },
      onStillDown: (error) => this.#stillDown(error),
    });
    this.#bus = new Bus({
      target,
      keys,
      clock,
      random,
      timeoutMs,
      onRejected: options.onRejectedMessage,
      onChange: (error) => this.#update(error),
    });
    telemetry.storeState(this.#state);
  }

  get state(): StoreState {
    return this.#state;
  }

  /** Commands that Redis has not answered yet. */
  get pending(): number {
    return this.#gate.pending;
  }

  /** Connects in the background; never fails. */
  start(): void {
    this.#link.start();
  }

  onState(listener: (state: StoreState) => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  subscribe(replica: ReplicaId, listener: (message: StoreMessage) => void): () => void {
    const end = this.#bus.subscribe(replica, listener);
    // Until the subscription works, messages are missed.
    this.#update();
    return end;
  }

  /** Sends one command that is no script. Rejects with StoreError. */
  command(name: string, args: readonly Argument[]): Promise<unknown> {
    return this.#send(name, (client) => client.call(name, ...args));
  }

  /** Runs one of our scripts. Rejects with StoreError. */
  script(script: Script, keys: readonly string[], args: readonly Argument[]): Promise<unknown> {
    return this.#send(script.name, (client) => runScript(client, script, keys, args));
  }

  close(): void {
    this.#isClosed = true;
    this.#gate.shut('disconnected');
    this.#bus.close();
    this.#link.stop();
    this.#listeners.clear();
  }

  #send(name: string, command: (client: RedisClient) => Promise<unknown>): Promise<unknown> {
    return this.#gate.run(name, async () => {
      const { client } = this.#link;
      if (client === undefined) throw new StoreError('disconnected', 'Redis is not connected');
      return command(client);
    });
  }

  /** NOPERM and the like last until somebody changes the server: said once for each code. */
  #refused(error: StoreError): void {
    const code = replyCode(error) || error.reason;
    if (this.#refusals.has(code) || this.#refusals.size >= MAX_REFUSALS_SAID) return;
    this.#refusals.add(code);
    this.#options.log.warn(
      {},
      `Redis refuses a command (${error.message}): some state is not shared. ` +
        'docs/redis.md lists what the user must be allowed to do',
    );
  }

  #update(error?: StoreError): void {
    const isUp = this.#link.client !== undefined && this.#bus.isUp;
    const isWaiting = error === undefined && this.#state !== 'down';
    const state = isUp ? 'up' : isWaiting ? 'connecting' : 'down';
    if (state === this.#state || this.#isClosed) return;
    this.#state = state;
    this.#options.telemetry.storeState(state);
    if (state !== 'connecting' && state !== this.#said) this.#tell(state, error);
    for (const listener of [...this.#listeners]) listener(state);
  }

  #tell(state: 'up' | 'down', error: StoreError | undefined): void {
    const { log } = this.#options;
    this.#said = state;
    this.#remediesSaid.clear();
    if (state === 'up') {
      this.#wasUp = true;
      log.info({}, `Redis at ${this.#where()} answers: state is shared with other replicas`);
      return;
    }
    const remedy = error && this.#remedyOf(error)?.text;
    if (remedy !== undefined) this.#remediesSaid.add(remedy);
    log.warn(
      { reason: error?.reason },
      `Redis at ${this.#where()} fails (${error?.message ?? 'not connected'}): routing goes on with what this process ` +
        `knows, and Redis is tried again in the background${remedy === undefined ? '' : `. ${remedy}`}`,
    );
  }

  /** It was down already; what somebody must put right is worth a line of its own, once. */
  #stillDown(error: StoreError): void {
    const remedy = this.#remedyOf(error);
    if (remedy?.isLasting !== true || this.#remediesSaid.has(remedy.text)) return;
    this.#remediesSaid.add(remedy.text);
    this.#options.log.warn(
      { reason: error.reason },
      `Redis at ${this.#where()} still fails, now for another reason (${error.message}). ${remedy.text}`,
    );
  }

  #remedyOf(error: StoreError): ReturnType<typeof remedyOf> {
    return remedyOf(error, { isTls: this.#options.target.tls !== undefined, wasUp: this.#wasUp });
  }

  #where(): string {
    return this.#options.target.endpoints
      .map(({ host, port }) => `${host}:${port}`)
      .slice(0, 3)
      .join(', ');
  }
}
