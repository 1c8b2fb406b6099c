/** A bucket of tokens that refills with time. */
interface Bucket {
  tokens: number;
  at: number;
}

export interface RateLimit {
  /** Requests at once. */
  readonly burst: number;
  /** And steadily. */
  readonly perSecond: number;
}

/** Rates of many parties in bounded memory: the party that was idle longest is forgotten first. */
export class RateLimits {
  readonly #limit: RateLimit;
  readonly #maxParties: number;
  readonly #buckets = new Map<string, Bucket>();

  constructor(limit: RateLimit, maxParties: number) {
    this.#limit = limit;
    this.#maxParties = maxParties;
  }

  get size(): number {
    return this.#buckets.size;
  }

  /** Takes one token; false where none is left. `now` is monotonic ms. */
  take(party: string, now: number): boolean {
    const bucket = this.#bucket(party, now);
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  }

  /** Whether a token is left, without taking it. */
  has(party: string, now: number): boolean {
    const known = this.#buckets.get(party);
    return known === undefined || this.#filled(known, now) >= 1;
  }

  #bucket(party: string, now: number): Bucket {
    const known = this.#buckets.get(party);
    const bucket = known ?? { tokens: this.#limit.burst, at: now };
    if (known !== undefined) {
      bucket.tokens = this.#filled(known, now);
      bucket.at = now;
      this.#buckets.delete(party); // the most recently used comes last
    } else if (this.#buckets.size >= this.#maxParties) {
      const oldest = this.#buckets.keys().next().value;
      if (oldest !== undefined) this.#buckets.delete(oldest);
    }
    this.#buckets.set(party, bucket);
    return bucket;
  }

  #filled({ tokens, at }: Bucket, now: number): number {
    const { burst, perSecond } = this.#limit;
    return Math.min(burst, tokens + (Math.max(0, now - at) / 1000) * perSecond);
  }
}

/** Values that may be used once, remembered until they could not be used anyway; bounded. */
export class UsedOnce {
  readonly #until = new Map<string, number>();
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  get size(): number {
    return this.#until.size;
  }

  /** `full`: too many are remembered to take another one; whoever asks must refuse. */
  claim(value: string, now: number, ttlMs: number): 'first' | 'used' | 'full' {
    const known = this.#until.get(value);
    if (known !== undefined && known > now) return 'used';
    if (this.#until.size >= this.#max) this.#sweep(now);
    if (this.#until.size >= this.#max) return 'full';
    this.#until.delete(value);
    this.#until.set(value, now + ttlMs);
    return 'first';
  }

  /** Entries come in the order of their times but for the difference of clocks; a stop at the first that lives is enough. */
  #sweep(now: number): void {
    for (const [value, until] of this.#until) {
      if (until > now) break;
      this.#until.delete(value);
    }
  }
}

/** The part of an address that one party controls: an IPv6 network of 64 bits, an IPv4 address. */
export function partyOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  if (!address.includes(':')) return address;
  const [head = '', tail] = address.replace(/%.*$/, '').split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - left.length - right.length);
  return [...left, ...Array<string>(zeros).fill('0'), ...right].slice(0, 4).join(':').toLowerCase();
}
