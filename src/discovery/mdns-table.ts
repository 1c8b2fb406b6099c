import { destinationProblem } from '../app/destination.ts';

/** Strangers write these records: every one of them is bounded. */
const MAX_INSTANCES = 1_000;
const MAX_HOSTS = 2_000;
const MAX_ADDRESSES = 8;
const MAX_RECORDS_PER_PACKET = 200;
const MAX_NAME = 255;
const MIN_TTL_S = 10;
const MAX_TTL_S = 4_500;

/** A record as a packet has it; nothing about it is certain. */
export interface LooseRecord {
  readonly type?: unknown;
  readonly name?: unknown;
  readonly ttl?: unknown;
  readonly data?: unknown;
}

/** One announced instance of a service whose port and address are known. */
export interface Announced {
  /** The instance's own label. */
  readonly label: string;
  readonly service: string;
  readonly port: number;
  readonly ips: readonly string[];
  readonly txt: Readonly<Record<string, string>>;
}

interface Instance {
  readonly service: string;
  expiresAt: number;
  port: number | undefined;
  host: string | undefined;
  txt: Readonly<Record<string, string>>;
}

/** What mDNS packets said of some services, until it expires. */
export class MdnsTable {
  readonly #services: ReadonlySet<string>;
  readonly #allowLoopback: boolean;
  readonly #instances = new Map<string, Instance>();
  readonly #hosts = new Map<string, Map<string, number>>();

  constructor(services: readonly string[], { allowLoopback }: { readonly allowLoopback: boolean }) {
    this.#services = new Set(services);
    this.#allowLoopback = allowLoopback;
  }

  /** Takes a response's records over; anything odd is skipped. `now` is monotonic ms. */
  learn(records: readonly LooseRecord[], now: number): void {
    const bounded = records.slice(0, MAX_RECORDS_PER_PACKET);
    // Whose address a record tells is known by the others, which may stand behind it.
    for (const record of bounded) this.#learnService(record, now);
    for (const record of bounded) this.#learnAddress(record, now);
  }

  announced(now: number): Announced[] {
    this.#expire(now);
    return [...this.#instances].flatMap(([name, { service, port, host, txt }]) => {
      const ips = host === undefined ? [] : [...(this.#hosts.get(host)?.keys() ?? [])];
      if (port === undefined || ips.length === 0) return [];
      return [{ label: name.slice(0, -service.length - 1), service, port, ips, txt }];
    });
  }

  #learnService(record: LooseRecord, now: number): void {
    const name = nameOf(record.name);
    if (name === undefined) return;
    if (record.type === 'PTR') {
      const instance = nameOf(record.data);
      if (this.#services.has(name) && instance?.endsWith(`.${name}`))
        this.#instance(instance, name, record.ttl, now);
      return;
    }
    if (record.type !== 'SRV' && record.type !== 'TXT') return;
    const service = [...this.#services].find((known) => name.endsWith(`.${known}`));
    const instance = service === undefined ? undefined : this.#instance(name, service, record.ttl, now);
    if (instance === undefined) return;
    if (record.type === 'TXT') {
      instance.txt = parseTxt(record.data);
      return;
    }
    const { port, target } = asRecord(record.data);
    const host = nameOf(target);
    if (
      typeof port !== 'number' ||
      !Number.isInteger(port) ||
      port < 1 ||
      port > 65_535 ||
      host === undefined
    )
      return;
    instance.port = port;
    instance.host = host;
  }

  #learnAddress({ type, name, ttl, data }: LooseRecord, now: number): void {
    const host = nameOf(name);
    if ((type !== 'A' && type !== 'AAAA') || host === undefined || typeof data !== 'string') return;
    const isWanted = [...this.#instances.values()].some((instance) => instance.host === host);
    if (!isWanted || destinationProblem(data, { allowLoopback: this.#allowLoopback }) !== undefined) return;
    const ips = this.#hosts.get(host) ?? new Map<string, number>();
    if (isGoodbye(ttl)) ips.delete(data);
    else if (ips.has(data) || ips.size < MAX_ADDRESSES) ips.set(data, now + ttlMs(ttl));
    if (this.#hosts.has(host) || this.#hosts.size < MAX_HOSTS) this.#hosts.set(host, ips);
  }

  #instance(name: string, service: string, ttl: unknown, now: number): Instance | undefined {
    if (isGoodbye(ttl)) {
      this.#instances.delete(name);
      return undefined;
    }
    const known = this.#instances.get(name);
    if (known !== undefined) {
      known.expiresAt = now + ttlMs(ttl);
      return known;
    }
    if (this.#instances.size >= MAX_INSTANCES) return undefined;
    const instance = { service, expiresAt: now + ttlMs(ttl), port: undefined, host: undefined, txt: {} };
    this.#instances.set(name, instance);
    return instance;
  }

  #expire(now: number): void {
    for (const [name, { expiresAt }] of this.#instances) if (expiresAt <= now) this.#instances.delete(name);
    for (const [host, ips] of this.#hosts) {
      for (const [ip, expiresAt] of ips) if (expiresAt <= now) ips.delete(ip);
      if (ips.size === 0) this.#hosts.delete(host);
    }
  }
}

function nameOf(value: unknown): string | undefined {
  if (typeof value !== 'string' || value === '' || value.length > MAX_NAME) return undefined;
  return value.toLowerCase().replace(/\.$/, '');
}

/** The sender goes away (RFC 6762, 10.1). */
function isGoodbye(ttl: unknown): boolean {
  return ttl === 0;
}

function ttlMs(ttl: unknown): number {
  const seconds = typeof ttl === 'number' && Number.isFinite(ttl) ? ttl : MIN_TTL_S;
  return Math.min(MAX_TTL_S, Math.max(MIN_TTL_S, seconds)) * 1000;
}

/** Pairs of a TXT record; what is not printable ASCII is left out. */
function parseTxt(data: unknown): Record<string, string> {
  const parts: readonly unknown[] = Array.isArray(data) ? data : [data];
  const pairs = parts.slice(0, 16).flatMap((part): [string, string][] => {
    const text = part instanceof Uint8Array ? Buffer.from(part).toString('latin1') : part;
    const match = typeof text === 'string' ? /^([A-Za-z0-9_-]{1,32})=([\x20-\x7e]{0,200})$/.exec(text) : null;
    return match === null ? [] : [[match[1] ?? '', match[2] ?? '']];
  });
  return Object.fromEntries(pairs);
}

function asRecord(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}
