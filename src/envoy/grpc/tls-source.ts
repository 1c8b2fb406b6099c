import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';

/** A server's certificate, with its chain, and private key, both PEM. Never log it. */
export interface TlsPair {
  readonly cert: string;
  readonly key: string;
}

/** Where a listener has its certificate from. */
export interface TlsSource {
  /** The pair to use now; made or read anew each time. Throws with what is wrong. */
  pair(): Promise<TlsPair>;
}

/** Certificate and key in files that somebody else renews. */
export class TlsFiles implements TlsSource {
  readonly #certFile: string;
  readonly #keyFile: string;

  constructor(certFile: string, keyFile: string) {
    this.#certFile = certFile;
    this.#keyFile = keyFile;
  }

  async pair(): Promise<TlsPair> {
    const [cert, key] = [await readPem(this.#certFile), await readPem(this.#keyFile)];
    if (!belongTogether(cert, key))
      throw new Error(`${this.#keyFile} holds no private key of the certificate in ${this.#certFile}`);
    return { cert, key };
  }
}

async function readPem(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown reason';
    throw new Error(`${file} cannot be read (${code})`);
  }
}

/** False as well where one of them is none. */
export function belongTogether(cert: string, key: string): boolean {
  try {
    return new X509Certificate(cert).checkPrivateKey(createPrivateKey(key));
  } catch {
    return false;
  }
}
