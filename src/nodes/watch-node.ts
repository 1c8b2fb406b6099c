import { formatHostPort } from '../app/host-port.ts';
import type { Clock, Random } from '../app/ports.ts';
import type { Config } from '../config/config.ts';
import type { NodeSpec, Observation } from '../fleet/types.ts';
import type { AbilityBook } from './ability-book.ts';
import { InterruptibleSleep } from './interruptible-sleep.ts';
import { NodeAbilities } from './node-abilities.ts';
import { type Answer, OllamaClient } from './ollama-client.ts';
import { PollError } from './poll-error.ts';
import { runPoller } from './poller.ts';
import { Resolver, type ResolverOptions } from './resolver.ts';

/** Names are asked for again this often, and sooner while nothing is known. */
const RESOLVE_INTERVAL_MS = 30_000;
const RESOLVE_RETRY_MS = 2_000;
/** Requests for a new tag list come in swarms when a model was deleted: one poll serves them. */
const MIN_TAGS_GAP_MS = 1_000;
/** A description is read from the model's file, which may lie on a slow disk. */
const SHOW_TIMEOUT_MS = 10_000;

export interface NodeWatcherOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly poll: Config['poll'];
  readonly resolver: ResolverOptions;
  /** Upper bound of the random pause before the first poll. */
  readonly spreadMs: number;
  readonly onObservation: (observation: Observation) => void;
  /** False: another replica asks it, until `setPolling`. */
  readonly isPolling?: boolean;
  /** Where what models can do is kept; undefined: nobody asks. */
  readonly abilities?: AbilityBook | undefined;
  /** A defect of ours, not the node's: its failures are observations. */
  readonly onError: (error: unknown) => void;
}

/** Asks one node all there is to know, one question at a time, and reports what it learns. */
export class NodeWatcher {
  readonly #spec: NodeSpec;
  readonly #options: NodeWatcherOptions;
  readonly #resolver: Resolver;
  readonly #sleep: InterruptibleSleep;
  readonly #abilities: NodeAbilities | undefined;
  readonly #ended = new AbortController();
  #client: OllamaClient | undefined;
  #announced: string | undefined;
  #tagsDueAt: number;
  #tagsAskedAt = Number.NEGATIVE_INFINITY;
  #tagsFailures = 0;
  #versionDueAt: number;
  #isPolling: boolean;
  #cancelStart: () => void = () => {};
  /** Whether the last heartbeat was answered; before the first there is nothing to refresh. */
  #isAnswering = false;
  /** The pause before the first poll is over. */
  #isDue = false;

  constructor(spec: NodeSpec, options: NodeWatcherOptions) {
    this.#spec = spec;
    this.#options = options;
    this.#resolver = new Resolver(spec.url.host, spec.url.port, options.resolver);
    this.#sleep = new InterruptibleSleep(options.clock);
    this.#isPolling = options.isPolling ?? true;
    this.#abilities = options.abilities && this.#finding(options.abilities);
    this.#tagsDueAt = options.clock.now();
    this.#versionDueAt = options.clock.now();
  }

  /** Watches until `signal` aborts; never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, random, poll, spreadMs, onError } = this.#options;
    const polling = runPoller(
      (stop) => this.#poll(stop),
      {
        intervalMs: poll.interval,
        jitter: poll.jitter,
        initialDelayMs: random() * spreadMs,
        clock: this.#sleep,
        random,
        onError,
      },
      signal,
    );
    const resolving = runPoller(
      (stop) => this.#resolve(stop),
      { intervalMs: RESOLVE_RETRY_MS, jitter: poll.jitter, clock, random, onError },
      signal,
    );
    await Promise.all([polling, resolving]);
    this.#ended.abort();
    this.#cancelStart();
    await this.#client?.close();
  }

  /** Begins (after `delayMs`) or ceases to ask the node: it is this replica's turn, or another's. */
  setPolling(isPolling: boolean, delayMs: number): void {
    this.#cancelStart();
    if (!isPolling) {
      this.#isPolling = false;
      return;
    }
    this.#cancelStart = this.#options.clock.after(delayMs, () => {
      this.#isPolling = true;
      this.#announced = undefined;
      this.#announce();
      this.#sleep.wake();
    });
  }

  /** Asks for the tag list at once: a request has shown that it is out of date. */
  refreshTags(): void {
    this.#tagsDueAt = Math.min(this.#tagsDueAt, this.#tagsAskedAt + MIN_TAGS_GAP_MS);
    if (this.#isAnswering && this.#tagsDueAt <= this.#options.clock.now()) this.#sleep.wake();
  }

  async #resolve(signal: AbortSignal): Promise<void> {
    const { clock, poll, random } = this.#options;
    // Whoever polls it tells its address; our own is asked for once, to have one in need.
    if (!this.#isPolling && this.#resolver.current !== undefined) return;
    try {
      await untilAborted(this.#resolver.refresh(), signal);
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof PollError)) throw error;
      // With an address, polls tell how the node is; without one, this is all that can be told.
      if (this.#resolver.current === undefined) this.#fail(error);
      else await clock.sleep(RESOLVE_INTERVAL_MS * (1 + poll.jitter * random()), signal);
      return;
    }
    if (signal.aborted) return;
    const isFirst = this.#announced === undefined;
    this.#announce();
    // Before the first poll was due, its pause stays: the polls of a fleet are spread over it.
    if (isFirst && this.#isDue) this.#sleep.wake();
    await clock.sleep(RESOLVE_INTERVAL_MS, signal);
  }

  async #poll(signal: AbortSignal): Promise<void> {
    const { clock, poll, random, onObservation } = this.#options;
    this.#isDue = true;
    if (this.#resolver.current === undefined || !this.#isPolling) return;
    this.#isAnswering = await this.#pollResident(signal);
    if (!this.#isAnswering) return;
    const later = (intervalMs: number): number => clock.now() + intervalMs * (1 + poll.jitter * random());
    if (clock.now() >= this.#tagsDueAt) {
      this.#tagsAskedAt = clock.now();
      this.#tagsDueAt = later(poll.tagsInterval);
      const answer = await this.#ask((client) => client.tags(signal), signal, '/api/tags: ');
      if (answer !== undefined) {
        onObservation({ kind: 'tags', models: answer.value, rttMs: answer.rttMs });
        this.#abilities?.see(answer.value);
      } else
        this.#tagsDueAt = clock.now() + Math.min(poll.tagsInterval, poll.interval * 2 ** this.#tagsFailures);
      this.#tagsFailures = answer === undefined ? Math.min(this.#tagsFailures + 1, 16) : 0;
    }
    if (!signal.aborted && clock.now() >= this.#versionDueAt) {
      this.#versionDueAt = later(poll.versionInterval);
      const answer = await this.#ask((client) => client.version(signal), signal, undefined);
      if (answer !== undefined) onObservation({ kind: 'version', version: answer.value });
    }
  }

  /** Whether the node answered. Where it cannot be reached, another address of its name gets a try. */
  async #pollResident(signal: AbortSignal): Promise<boolean> {
    try {
      this.#report(await this.#clientNow().resident(signal));
      return !signal.aborted;
    } catch (error) {
      if (signal.aborted) return false;
      if (!(error instanceof PollError)) throw error;
      if (isUnreachable(error) && (await this.#tryAlternate(signal))) return true;
      if (!signal.aborted) this.#fail(error);
      return false;
    }
  }

  async #tryAlternate(signal: AbortSignal): Promise<boolean> {
    const ip = this.#resolver.alternate();
    if (ip === undefined) return false;
    const client = this.#newClient(ip);
    try {
      const answer = await client.resident(signal);
      if (signal.aborted) return false;
      this.#resolver.settleOn(ip);
      this.#announce();
      this.#report(answer);
      return true;
    } catch (error) {
      if (!(error instanceof PollError)) throw error;
      return false;
    } finally {
      await client.close();
    }
  }

  async #ask<Value>(
    question: (client: OllamaClient) => Promise<Answer<Value>>,
    signal: AbortSignal,
    prefix: string | undefined,
  ): Promise<Answer<Value> | undefined> {
    try {
      const answer = await question(this.#clientNow());
      return signal.aborted ? undefined : answer;
    } catch (error) {
      if (!(error instanceof PollError)) throw error;
      if (!signal.aborted && prefix !== undefined) this.#fail(error, prefix);
      return undefined;
    }
  }

  #report({ value, rttMs, nodeTime }: Answer<Extract<Observation, { kind: 'resident' }>['models']>): void {
    this.#options.onObservation({ kind: 'resident', models: value, rttMs, nodeTime });
  }

  #fail({ reason, detail }: PollError, prefix = ''): void {
    this.#options.onObservation({ kind: 'poll_failed', reason, detail: `${prefix}${detail}` });
  }

  #announce(): void {
    const { current, candidates } = this.#resolver;
    if (current === undefined || current === this.#announced) return;
    this.#announced = current;
    const address = formatHostPort({ host: current, port: this.#spec.url.port });
    this.#options.onObservation({ kind: 'address', address, hosts: candidates });
  }

  #finding(book: AbilityBook): NodeAbilities {
    const { signal } = this.#ended;
    return new NodeAbilities({
      node: this.#spec.id,
      book,
      isLive: () => this.#isPolling && !signal.aborted,
      // By a connection of its own: a description that takes long holds up no heartbeat.
      ask: async (model) => {
        const client = this.#newClient(this.#resolver.current ?? '', SHOW_TIMEOUT_MS);
        try {
          return (await client.show(model, signal)).value;
        } finally {
          await client.close();
        }
      },
      onTold: (digest, abilities) =>
        this.#options.onObservation({ kind: 'capabilities', digest, ...abilities }),
    });
  }

  /** The client for the present address; one for an address that was left is closed. */
  #clientNow(): OllamaClient {
    const ip = this.#resolver.current ?? '';
    if (this.#client !== undefined && this.#client.address === ip) return this.#client;
    void this.#client?.close();
    this.#client = this.#newClient(ip);
    return this.#client;
  }

  #newClient(ip: string, leastTimeoutMs = 0): OllamaClient {
    const { clock, poll } = this.#options;
    return new OllamaClient(this.#spec, ip, {
      connectTimeoutMs: poll.connectTimeout,
      timeoutMs: Math.max(poll.timeout, leastTimeoutMs),
      maxBodyBytes: poll.maxBodyBytes,
      clock,
    });
  }
}

function isUnreachable({ reason }: PollError): boolean {
  return reason === 'refused' || reason === 'connect_timeout';
}

/** Waits for `work`, but not longer than until `signal` aborts: a lookup cannot be called off. */
async function untilAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  let end = (): void => {};
  const aborted = new Promise<void>((resolve) => {
    end = resolve;
    signal.addEventListener('abort', end, { once: true });
  });
  try {
    await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', end);
  }
}
