import { isIP } from 'node:net';

/** What a Redis URL says. User and password are decoded. */
export interface RedisUrl {
  /** Without user and password: fit for every log. */
  readonly url: string;
  readonly isTls: boolean;
  readonly username: string | undefined;
  readonly password: string | undefined;
}

const HOST = /^[A-Za-z0-9._-]{1,253}$/;

/** Parses `redis[s]://[user:password@]host[:port][/db]`. A problem never quotes the text: it may hold a password. */
export function parseRedisUrl(text: string): RedisUrl | { readonly problem: string } {
  if (text.length > 8_192) return { problem: 'is too long' };
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]{0,20}):\/\//.exec(text)?.[1]?.toLowerCase();
  if (scheme === undefined) return { problem: 'expected a URL such as "redis://cache:6379/0"' };
  if (scheme !== 'redis' && scheme !== 'rediss') {
    return { problem: `expected redis or rediss (with TLS) before "://", got "${scheme}"` };
  }
  const url = URL.parse(text);
  if (url === null) {
    return {
      problem:
        'is not a URL; in a password, write / as %2F, # as %23, ? as %3F and @ as %40, or use "passwordFile"',
    };
  }
  const host = url.hostname.replace(/^\[|\]$/g, '');
  if (host === '') return { problem: 'names no host' };
  if (isIP(host) === 0 && !HOST.test(host))
    return { problem: 'expected a DNS name or an IP address as host' };
  if (url.search !== '' || url.hash !== '')
    return { problem: 'must not have a query or fragment; in a password, write ? as %3F and # as %23' };
  if (!/^\/?$|^\/\d{1,4}$/.test(url.pathname)) {
    return { problem: 'expected nothing or the number of a database after the port, such as "/0"' };
  }
  try {
    return {
      url: `${scheme}://${isIP(host) === 6 ? `[${host}]` : host}:${url.port || 6379}${url.pathname === '/' ? '' : url.pathname}`,
      isTls: scheme === 'rediss',
      username: decodeURIComponent(url.username) || undefined,
      password: decodeURIComponent(url.password) || undefined,
    };
  } catch {
    return { problem: 'has a "%" in its user or password that is no code; write it as %25' };
  }
}
