import type { Candidate } from '../app/registry/registry-types.ts';
import type { NodeUrl } from '../fleet/types.ts';
import { closeMdns, type MdnsAddress, openMdns, SERVICE } from './mdns-socket.ts';
import { type Announced, type LooseRecord, MdnsTable } from './mdns-table.ts';
import { repeat } from './repeat.ts';
import type { DiscoverySource, Report, SourceDeps } from './source.ts';
import { Trouble } from './trouble.ts';

/** Answers to a question come within this long (RFC 6762: 20 to 120 ms, and the network). */
const ANSWER_MS = 1_000;
/** Packets looked at within one interval: a flood costs no more than that. */
const MAX_PACKETS = 2_000;

export interface MdnsSourceOptions extends SourceDeps {
  readonly intervalMs: number;
  readonly address?: MdnsAddress;
  /** Only where everything runs on one machine. */
  readonly allowLoopback?: boolean;
}

/**
 * Nodes that announce themselves on the local network. Nobody signs an announcement: what is found so is named, never
 * believed, and known by its address alone.
 */
export class MdnsSource implements DiscoverySource {
  readonly key = 'mdns';
  readonly #options: MdnsSourceOptions;
  readonly #table: MdnsTable;
  readonly #trouble: Trouble;
  #packets = 0;

  constructor(options: MdnsSourceOptions) {
    this.#options = options;
    this.#table = new MdnsTable([SERVICE.ollama, SERVICE.node], {
      allowLoopback: options.allowLoopback ?? false,
    });
    this.#trouble = new Trouble(this.key, options.log);
  }

  async run(report: Report, signal: AbortSignal): Promise<void> {
    const { intervalMs } = this.#options;
    // A socket that failed, as without a network at the start, is tried again.
    await repeat(() => this.#browse(report, signal), intervalMs, this.#options, signal);
  }

  async #browse(report: Report, signal: AbortSignal): Promise<void> {
    const { clock, address = {}, intervalMs } = this.#options;
    const mdns = await openMdns(address).catch((error: unknown) => {
      this.#trouble.met(`cannot listen for announcements (${codeOf(error)}); is UDP port 5353 taken?`);
    });
    if (mdns === undefined) return;
    this.#trouble.over();
    mdns.on('response', ({ answers = [], additionals = [] }) => {
      if (this.#packets++ >= MAX_PACKETS) return;
      const records: LooseRecord[] = [...answers, ...additionals];
      this.#table.learn(records, clock.now());
    });
    const ask = async (): Promise<void> => {
      this.#packets = 0;
      mdns.query({
        questions: [SERVICE.ollama, SERVICE.node].map((name) => ({ name, type: 'PTR' as const })),
      });
      await clock.sleep(ANSWER_MS, signal);
      if (!signal.aborted) report(this.#table.announced(clock.now()).map(candidate));
    };
    await repeat(ask, Math.max(0, intervalMs - ANSWER_MS), this.#options, signal);
    await closeMdns(mdns);
  }
}

function candidate({ label, port, ips, txt }: Announced): Candidate {
  const scheme: NodeUrl['scheme'] = txt.scheme === 'https' ? 'https' : 'http';
  // IPv4 first: Ollama listens there unless told otherwise. The order of packets must not change the address.
  const [host = ''] = [...ips].sort(
    (a, b) => Number(a.includes(':')) - Number(b.includes(':')) || (a < b ? -1 : 1),
  );
  return { name: label, url: { scheme, host, port }, source: 'mdns', identity: undefined, labels: {} };
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown reason';
}
