import { isIP } from 'node:net';
import { destinationProblem } from '../app/destination.ts';
import type { NodeUrl } from '../fleet/types.ts';

const DEFAULT_PORT = { http: 11_434, https: 443 } as const;
const MAX_URL_LENGTH = 300;
const METADATA_NAMES = new Set(['metadata', 'metadata.google.internal', 'instance-data']);
const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/;

export type NodeUrlResult = { readonly url: NodeUrl } | { readonly problem: string };

/**
 * Parses a node's URL: http or https, a host, a port or none, and nothing else.
 * A problem never quotes the text, since a URL that is refused may carry a password.
 */
export function parseNodeUrl(text: string): NodeUrlResult {
  if (text.length > MAX_URL_LENGTH) return { problem: 'is too long' };
  // The URL parser forgives blanks, backslashes and control characters; a configuration should not.
  const match = /^([A-Za-z][A-Za-z0-9+.-]*):\/\/([^/?#\\\s]*)([/?#].*)?$/.exec(text);
  if (match === null) return { problem: 'expected a URL such as "http://gpu1:11434"' };
  const scheme = match[1]?.toLowerCase();
  const authority = match[2] ?? '';
  const rest = match[3] ?? '';
  if (scheme !== 'http' && scheme !== 'https')
    return { problem: `expected http or https, got "${scheme?.slice(0, 20)}"` };
  if (authority.includes('@'))
    return { problem: 'must not hold a user or password; use "token" or "tokenFile"' };
  if (rest !== '' && rest !== '/') {
    return { problem: 'must be scheme, host and port only, without a path, query or fragment' };
  }
  const portText = /:(\d*)$/.exec(authority)?.[1];
  const hostText = authority.replace(/:\d*$/, '');
  const port = portText === undefined ? DEFAULT_PORT[scheme] : Number(portText);
  if (portText === '' || !Number.isInteger(port) || port < 1 || port > 65_535) {
    return { problem: 'expected a port from 1 to 65535' };
  }
  const host = parseHost(hostText);
  return 'problem' in host ? host : { url: { scheme, host: host.host, port } };
}

function parseHost(text: string): { readonly host: string } | { readonly problem: string } {
  const bracketed = /^\[([0-9A-Fa-f:.]+)\]$/.exec(text)?.[1];
  if (bracketed !== undefined) {
    return isIP(bracketed) === 6
      ? checkIp(bracketed.toLowerCase())
      : { problem: 'expected an IPv6 address in the brackets' };
  }
  if (isIP(text) === 4) return checkIp(text);
  const name = text.toLowerCase().replace(/\.$/, '');
  if (name === '') return { problem: 'names no host' };
  const labels = name.split('.');
  const last = labels.at(-1) ?? '';
  if (/^(?:\d+|0x[0-9a-f]*)$/.test(last)) {
    return { problem: 'expected an IPv4 address as four decimal numbers, such as "192.168.1.10"' };
  }
  if (name.length > 253 || !labels.every((label) => LABEL.test(label))) {
    return { problem: 'expected a DNS name or an IP address as host (IPv6 in brackets)' };
  }
  if (METADATA_NAMES.has(name)) return { problem: 'is the name of a cloud metadata service' };
  return { host: name };
}

function checkIp(ip: string): { readonly host: string } | { readonly problem: string } {
  const problem = destinationProblem(ip, { allowLoopback: true });
  return problem === undefined ? { host: ip } : { problem: `${ip} ${problem}` };
}

/** The name of a node that was given none: its host, with the port where it is not the usual one. */
export function deriveNodeName(url: NodeUrl): string {
  const host = url.host.replaceAll(':', '-');
  return url.port === DEFAULT_PORT[url.scheme] ? host : `${host}-${url.port}`;
}
