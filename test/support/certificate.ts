import { execFileSync } from 'node:child_process';

export interface CertificateFiles {
  readonly key: string;
  readonly cert: string;
}

/** Writes a new EC key and a certificate that it signs itself, good for two days; `altName` as openssl has it, `IP:127.0.0.1`. Throws where openssl fails. */
export function writeCertificate(
  { key, cert }: CertificateFiles,
  { name, altName, openssl = 'openssl' }: { name: string; altName?: string; openssl?: string },
): void {
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
  const names = [
    '-subj',
    `/CN=${name}`,
    ...(altName === undefined ? [] : ['-addext', `subjectAltName=${altName}`]),
  ];
  execFileSync(openssl, ['req', '-x509', ...curve, ...names, '-keyout', key, '-out', cert], {
    stdio: 'ignore',
  });
}
