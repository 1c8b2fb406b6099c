import { X509Certificate } from 'node:crypto';
import { chmod, mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '../../app/ports.ts';
import { belongTogether, type TlsPair, type TlsSource } from './tls-source.ts';

const DAY_MS = 86_400_000;
const LIFETIME_MS = 365 * DAY_MS;
/** A certificate that ends sooner is made anew. */
const RENEW_BEFORE_MS = 30 * DAY_MS;
/** Clocks of clients may be behind ours. */
const BACKDATED_MS = 3_600_000;

/** A certificate of our own making, kept in a folder so that clients that pinned it know it after a restart. */
export class SelfSigned implements TlsSource {
  readonly #folder: string;
  readonly #names: readonly string[];
  readonly #clock: Pick<Clock, 'date'>;

  /** `host`: where we listen. */
  constructor(folder: string, host: string, clock: Pick<Clock, 'date'>) {
    this.#folder = folder;
    this.#clock = clock;
    const isWildcard = host === '0.0.0.0' || host === '::';
    this.#names = [...new Set(['localhost', hostname(), '127.0.0.1', '::1', ...(isWildcard ? [] : [host])])];
  }

  async pair(): Promise<TlsPair> {
    const kept = await this.#kept();
    if (kept !== undefined) return kept;
    const made = await this.#make();
    await this.#keep(made);
    return made;
  }

  /** Undefined where there is none that is still good for a while. */
  async #kept(): Promise<TlsPair | undefined> {
    try {
      const cert = await readFile(this.#certFile, 'utf8');
      const key = await readFile(this.#keyFile, 'utf8');
      const end = Date.parse(new X509Certificate(cert).validTo);
      const isFresh = end - this.#clock.date().getTime() > RENEW_BEFORE_MS;
      return isFresh && belongTogether(cert, key) ? { cert, key } : undefined;
    } catch {
      return undefined;
    }
  }

  async #make(): Promise<TlsPair> {
    // Loaded when it is needed: most start without it.
    const { generate } = await import('selfsigned');
    const now = this.#clock.date().getTime();
    const made = await generate([{ name: 'commonName', value: 'warmpath' }], {
      keyType: 'ec',
      algorithm: 'sha256',
      notBeforeDate: new Date(now - BACKDATED_MS),
      notAfterDate: new Date(now + LIFETIME_MS),
      extensions: [
        { name: 'basicConstraints', cA: false },
        { name: 'keyUsage', digitalSignature: true },
        { name: 'extKeyUsage', serverAuth: true },
        {
          name: 'subjectAltName',
          altNames: this.#names.map((name) =>
            isIP(name) === 0 ? { type: 2, value: name } : { type: 7, ip: name },
          ),
        },
      ],
    });
    return { cert: made.cert, key: made.private };
  }

  async #keep({ cert, key }: TlsPair): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    // Certificate and key are two files: whoever dies between the renames leaves a pair that does not fit, and makes another.
    for (const [file, text] of [
      [this.#certFile, cert],
      [this.#keyFile, key],
    ] as const) {
      await writeFile(`${file}.new`, text, { mode: 0o600 });
      await chmod(`${file}.new`, 0o600);
      await rename(`${file}.new`, file);
    }
  }

  get #certFile(): string {
    return join(this.#folder, 'cert.pem');
  }

  get #keyFile(): string {
    return join(this.#folder, 'key.pem');
  }
}
