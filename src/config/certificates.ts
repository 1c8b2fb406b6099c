import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readBounded } from './read-bounded.ts';

const MAX_PEM_FILE_BYTES = 1024 * 1024;

/** What is wrong with a file that should hold PEM certificates; undefined: nothing. */
export async function certificateProblem(path: string): Promise<string | undefined> {
  const read = await readPem(path);
  if ('problem' in read) return read.problem;
  return parseCertificate(read.pem) === undefined ? 'the file holds no PEM certificate' : undefined;
}

/** What is wrong with a server's certificate and key; the text of neither appears in it. */
export async function keyPairProblem(
  certPath: string,
  keyPath: string,
): Promise<{ readonly at: 'cert' | 'key'; readonly message: string } | undefined> {
  const [cert, key] = [await readPem(certPath), await readPem(keyPath)];
  if ('problem' in cert) return { at: 'cert', message: cert.problem };
  const certificate = parseCertificate(cert.pem);
  if (certificate === undefined) return { at: 'cert', message: 'the file holds no PEM certificate' };
  if ('problem' in key) return { at: 'key', message: key.problem };
  try {
    if (certificate.checkPrivateKey(createPrivateKey(key.pem))) return undefined;
    return { at: 'key', message: 'the key is not that of the certificate in "tlsCert"' };
  } catch {
    return { at: 'key', message: 'the file holds no PEM private key without a passphrase' };
  }
}

async function readPem(path: string): Promise<{ readonly pem: string } | { readonly problem: string }> {
  try {
    return { pem: await readBounded(path, MAX_PEM_FILE_BYTES) };
  } catch (error) {
    return { problem: `the file ${error instanceof Error ? error.message : 'cannot be read'}` };
  }
}

function parseCertificate(pem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(pem);
  } catch {
    return undefined;
  }
}
