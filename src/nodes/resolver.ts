import { isIP } from 'node:net';
import { destinationProblem, isLoopbackHost, isOwnAddress, type Listener } from '../app/destination.ts';
import { PollError, pollErrorFrom } from './poll-error.ts';

/** All addresses of a name, best first. Rejects as node:dns does. */
export type Lookup = (host: string) => Promise<readonly string[]>;

export interface ResolverOptions {
  readonly lookup: Lookup;
  /** Addresses that lead back to us. */
  readonly listeners: readonly Listener[];
  readonly localIps: readonly string[];
}

/** Names with more addresses are cut: no machine answers under more than a few. */
const MAX_ADDRESSES = 16;

/**
 * Knows at which IP address a node is reached. The address stays while the name still leads to it; the last good
 * one stays when the name service fails. Never called on a request's path.
 */
export class Resolver {
  readonly #host: string;
  readonly #port: number;
  readonly #options: ResolverOptions;
  #candidates: readonly string[] = [];
  #current: string | undefined;
  #nextAlternate = 0;

  constructor(host: string, port: number, options: ResolverOptions) {
    this.#host = host;
    this.#port = port;
    this.#options = options;
  }

  /** Undefined until the name was resolved once. */
  get current(): string | undefined {
    return this.#current;
  }

  /** All that the name leads to. */
  get candidates(): readonly string[] {
    return this.#candidates;
  }

  /** Asks the name service. Rejects with PollError and changes nothing where it gives no usable address. */
  async refresh(): Promise<void> {
    const found = isIP(this.#host) !== 0 ? [this.#host] : await this.#ask();
    const allowLoopback = isLoopbackHost(this.#host);
    const { listeners, localIps } = this.#options;
    const usable = found.filter(
      (ip) =>
        destinationProblem(ip, { allowLoopback }) === undefined &&
        !isOwnAddress(ip, this.#port, listeners, localIps),
    );
    if (usable.length === 0) {
      throw new PollError(
        'dns',
        found.length === 0 ? 'name has no address' : 'name leads to no permitted address',
      );
    }
    this.#candidates = [...new Set(usable)].slice(0, MAX_ADDRESSES);
    if (this.#current === undefined || !this.#candidates.includes(this.#current))
      this.#current = this.#candidates[0];
  }

  /** Another address of the name, each in turn, for when the current one cannot be reached; undefined if there is none. */
  alternate(): string | undefined {
    const others = this.#candidates.filter((ip) => ip !== this.#current);
    if (others.length === 0) return undefined;
    return others[this.#nextAlternate++ % others.length];
  }

  /** An alternate answered: it is the current one from now on. */
  settleOn(ip: string): void {
    if (this.#candidates.includes(ip)) this.#current = ip;
  }

  async #ask(): Promise<readonly string[]> {
    try {
      return await this.#options.lookup(this.#host);
    } catch (error) {
      const { detail } = pollErrorFrom(error);
      throw new PollError('dns', detail, error);
    }
  }
}
