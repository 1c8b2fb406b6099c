import { isIPv4, isIPv6 } from 'node:net';
import { urlHost } from '../../app/host-port.ts';

const PORT = /^[1-9]\d{0,4}$/;

/** `ip:port` or `ip` as nodes' addresses are written: IPv6 in its short form and in brackets. Undefined for anything else. */
export function endpointAddress(text: string): string | undefined {
  const entry = text.trim();
  const colon = entry.indexOf(':');
  if (colon < 0) return isIPv4(entry) ? entry : undefined;
  if (entry.startsWith('[')) return bracketed(entry);
  if (colon !== entry.lastIndexOf(':')) return ipv6(entry);
  return isIPv4(entry.slice(0, colon)) && isPort(entry.slice(colon + 1)) ? entry : undefined;
}

function bracketed(entry: string): string | undefined {
  const close = entry.indexOf(']');
  const ip = ipv6(entry.slice(1, close));
  if (ip === undefined || close === entry.length - 1) return ip;
  return entry[close + 1] === ':' && isPort(entry.slice(close + 2))
    ? `${ip}${entry.slice(close + 1)}`
    : undefined;
}

function isPort(text: string): boolean {
  return PORT.test(text) && Number(text) <= 65_535;
}

function ipv6(text: string): string | undefined {
  if (!isIPv6(text) || text.includes('%')) return undefined;
  return new URL(`http://${urlHost(text)}`).hostname;
}
