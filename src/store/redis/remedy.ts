import type { StoreError } from '../contract.ts';

export interface Circumstances {
  readonly isTls: boolean;
  /** Whether this Redis has ever answered us as it should. */
  readonly wasUp: boolean;
}

/** By what Redis, the network or OpenSSL said, first match. `isLasting`: it ends when somebody does something about it. */
const REMEDIES: readonly {
  readonly says: RegExp;
  readonly remedy: string;
  readonly isLasting?: boolean;
  readonly when?: (circumstances: Circumstances) => boolean;
}[] = [
  {
    says: /\b(WRONGPASS|NOAUTH)\b|ERR AUTH|invalid password/,
    remedy: 'Give its user and password: "store.username" and "store.passwordFile", or in WARMPATH_REDIS',
    isLasting: true,
  },
  { says: /\bNOPERM\b/, remedy: 'docs/redis.md lists what the user must be allowed to do', isLasting: true },
  { says: /\bREADONLY\b/, remedy: 'That is a replica: name the master, or its Sentinels', isLasting: true },
  { says: /\bDB index\b/, remedy: 'It has no database of the number in "store.url"', isLasting: true },
  {
    says: /certificate|altname/i,
    remedy:
      'Name the CA that signed its certificate as "store.tlsCa", and the host as the certificate names it',
    isLasting: true,
  },
  { says: /ENOTFOUND|EAI_AGAIN/, remedy: 'Is the name of the host right?' },
  { says: /ECONNREFUSED/, remedy: 'Is Redis running there, and is the port right?' },
  {
    says: /ETIMEDOUT|ECONNRESET|wrong version number|connection was closed|packet length/,
    remedy: 'Does it speak TLS on this port? If not, write redis:// and no "tls: true"',
    when: ({ isTls, wasUp }) => isTls && !wasUp,
  },
  {
    says: /ECONNRESET|connection was closed|Protocol error/,
    remedy: 'Is that the port of a Redis? If it speaks TLS, write rediss:// or "tls: true"',
    when: ({ isTls, wasUp }) => !isTls && !wasUp,
  },
  {
    says: /ETIMEDOUT|EHOSTUNREACH|ENETUNREACH/,
    remedy: 'Is it reachable from here: address, port, firewall?',
  },
];

/** What to do about a Redis that cannot be used, one sentence; undefined where only Redis itself can tell. */
export function remedyOf(
  { message }: StoreError,
  circumstances: Circumstances,
): { readonly text: string; readonly isLasting: boolean } | undefined {
  const found = REMEDIES.find(({ says, when }) => says.test(message) && (when?.(circumstances) ?? true));
  return found === undefined ? undefined : { text: found.remedy, isLasting: found.isLasting ?? false };
}
