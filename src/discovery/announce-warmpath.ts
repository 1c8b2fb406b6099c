import { networkInterfaces } from 'node:os';
import type { Clock } from '../app/ports.ts';
import { closeMdns, type MdnsAddress, openMdns, SERVICE } from './mdns-socket.ts';

const TTL_S = 120;
/** Answers are sent at most this often, whoever asks (RFC 6762, 6: one second; an agent's search is shorter). */
const MIN_PAUSE_MS = 100;
const MAX_ADDRESSES = 8;
const RETRY_MS = 30_000;

export interface AnnounceOptions {
  /** Name of this machine, as people see it. */
  readonly hostname: string;
  /** Where agents report to. */
  readonly port: number;
  readonly scheme: 'http' | 'https';
  readonly clock: Clock;
  readonly address?: MdnsAddress;
  /** Addresses that lead to us; undefined: those of all interfaces but loopback. */
  readonly ips?: readonly string[];
}

/** Lets agents find us: answers for `_warmpath._tcp` until `signal` aborts, then says goodbye. Never rejects. */
export async function announceWarmpath(options: AnnounceOptions, signal: AbortSignal): Promise<void> {
  const { clock, address = {} } = options;
  while (!signal.aborted) {
    const mdns = await openMdns(address).catch(() => undefined);
    if (mdns === undefined) {
      await clock.sleep(RETRY_MS, signal);
      continue;
    }
    let answeredAt = Number.NEGATIVE_INFINITY;
    mdns.on('query', ({ questions = [] }) => {
      const isAsked = questions.some(
        ({ name, type }) =>
          ['PTR', 'ANY'].includes(String(type)) && name.toLowerCase().replace(/\.$/, '') === SERVICE.warmpath,
      );
      if (!isAsked || clock.now() - answeredAt < MIN_PAUSE_MS) return;
      answeredAt = clock.now();
      mdns.respond(records(options, TTL_S));
    });
    mdns.respond(records(options, TTL_S));
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
    await new Promise<void>((resolve) => mdns.respond(records(options, 0), () => resolve()));
    await closeMdns(mdns);
  }
}

function records({ hostname, port, scheme, ips }: AnnounceOptions, ttl: number) {
  const label =
    hostname
      .split('.')[0]
      ?.replace(/[^A-Za-z0-9-]/g, '-')
      .slice(0, 50) || 'warmpath';
  const instance = `${label}-${port}.${SERVICE.warmpath}`;
  const target = `${label}.local`;
  const found = ips ?? localAddresses();
  return [
    { type: 'PTR' as const, name: SERVICE.warmpath, ttl, data: instance },
    { type: 'SRV' as const, name: instance, ttl, data: { port, target, priority: 0, weight: 0 } },
    { type: 'TXT' as const, name: instance, ttl, data: [`scheme=${scheme}`] },
    ...found
      .slice(0, MAX_ADDRESSES)
      .map((data) =>
        data.includes(':')
          ? { type: 'AAAA' as const, name: target, ttl, data }
          : { type: 'A' as const, name: target, ttl, data },
      ),
  ];
}

function localAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap(
    (addresses) =>
      addresses
        ?.filter(({ internal, scopeid }) => !internal && (scopeid ?? 0) === 0)
        .map(({ address }) => address) ?? [],
  );
}
