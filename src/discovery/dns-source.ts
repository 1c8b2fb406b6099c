import { Resolver } from 'node:dns/promises';
import { destinationProblem } from '../app/destination.ts';
import { formatHostPort } from '../app/host-port.ts';
import type { Candidate } from '../app/registry/registry-types.ts';
import { repeat } from './repeat.ts';
import type { DiscoverySource, Report, SourceDeps } from './source.ts';
import { Trouble } from './trouble.ts';

/** A query is sent again once after this long, then given up. */
const QUERY_TIMEOUT_MS = 2_000;
const TRIES = 2;
/** No name has more nodes behind it than this. */
const MAX_RECORDS = 1_000;

export interface DnsSourceOptions extends SourceDeps {
  readonly name: string;
  readonly type: 'A' | 'AAAA' | 'SRV';
  /** Of the nodes behind A and AAAA records; SRV records bring their own. */
  readonly port: number;
  readonly intervalMs: number;
  /** `ip:port` of the name servers; undefined: the system's. */
  readonly servers?: readonly string[];
}

/**
 * Nodes behind a DNS name. The records' own TTL is not heeded, so a TTL of 0 costs no more than the interval; what was
 * found stays while the name service fails or knows nothing.
 */
export class DnsSource implements DiscoverySource {
  readonly key: string;
  readonly #options: DnsSourceOptions;
  readonly #trouble: Trouble;

  constructor(options: DnsSourceOptions) {
    this.#options = options;
    this.key = `dns:${options.type}:${options.name}:${options.port}`;
    this.#trouble = new Trouble(this.key, options.log);
  }

  async run(report: Report, signal: AbortSignal): Promise<void> {
    const { servers, intervalMs } = this.#options;
    const resolver = new Resolver({ timeout: QUERY_TIMEOUT_MS, tries: TRIES });
    if (servers !== undefined) resolver.setServers([...servers]);
    const cancel = (): void => resolver.cancel();
    signal.addEventListener('abort', cancel, { once: true });
    await repeat(() => this.#look(resolver, report, signal), intervalMs, this.#options, signal);
    signal.removeEventListener('abort', cancel);
  }

  async #look(resolver: Resolver, report: Report, signal: AbortSignal): Promise<void> {
    let found: readonly Candidate[];
    try {
      found = await this.#ask(resolver);
    } catch (error) {
      if (!signal.aborted) this.#trouble.met(reasonOf(error));
      return;
    }
    const usable = found.filter(({ url }) => hostProblem(url.host) === undefined);
    const [refused] = found.filter((candidate) => !usable.includes(candidate));
    if (refused !== undefined) {
      // Also said when others are usable: an answer that names metadata or loopback is an attack or a mistake.
      this.#trouble.met(`the answer names ${refused.url.host}, which ${hostProblem(refused.url.host)}`);
      // Nothing of a poisoned answer is believed.
      return;
    }
    this.#trouble.over();
    report(usable);
  }

  async #ask(resolver: Resolver): Promise<Candidate[]> {
    const { name, type, port } = this.#options;
    switch (type) {
      case 'A':
        return this.#candidates((await resolver.resolve4(name)).map((host) => ({ host, port })));
      case 'AAAA':
        return this.#candidates((await resolver.resolve6(name)).map((host) => ({ host, port })));
      case 'SRV': {
        const records = await resolver.resolveSrv(name);
        // A target of "." says that there is no such service.
        return this.#candidates(
          records
            .map((record) => ({ host: record.name.toLowerCase().replace(/\.$/, ''), port: record.port }))
            .filter(({ host, port: srvPort }) => isHostName(host) && srvPort > 0),
        );
      }
    }
  }

  #candidates(places: readonly { host: string; port: number }[]): Candidate[] {
    const unique = new Map(places.slice(0, MAX_RECORDS).map((place) => [formatHostPort(place), place]));
    return [...unique.values()].map(({ host, port }) => ({
      name: undefined,
      url: { scheme: 'http', host, port },
      source: 'dns',
      identity: undefined,
      labels: {},
    }));
  }
}

function hostProblem(host: string): string | undefined {
  const problem = destinationProblem(host, { allowLoopback: false });
  // Names of SRV records are judged when they are resolved.
  return problem === 'is not an IP address' ? undefined : problem?.replace(/, but the configured.*/, '');
}

function isHostName(host: string): boolean {
  return host.length <= 253 && /^[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?$/.test(host);
}

const REASONS: Readonly<Record<string, string>> = {
  ENOTFOUND: 'the name does not exist',
  ENODATA: 'the name has no such record',
  ESERVFAIL: 'the name server failed',
  EREFUSED: 'the name server refused to answer',
  ETIMEOUT: 'the name server does not answer in time',
  ECONNREFUSED: 'no name server listens there',
  EBADRESP: 'the name server sent a malformed answer',
  EBADNAME: 'the name is not a DNS name; correct it in the configuration',
};

function reasonOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return (
    REASONS[code] ?? `the name cannot be resolved (${code === '' ? 'unknown reason' : code.slice(0, 40)})`
  );
}
