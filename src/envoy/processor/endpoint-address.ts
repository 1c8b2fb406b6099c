import { isIPv4, isIPv6 } from 'node:net';
import { urlHost } from '../../app/host-port.ts';

/** `ip:port` or `ip` as nodes' addresses are written: IPv6 in its short form and in brackets. Undefined for anything else. */
export function endpointAddress(text: string): string | undefined {
  const entry = text.trim();
  if (isIPv4(entry)) return entry;
  if (isIPv6(entry)) return ipv6(entry);
  const colon = entry.lastIndexOf(':');
  const isWhole = entry.endsWith(']');
  const host = isWhole ? entry : entry.slice(0, Math.max(0, colon));
  const ip = host.startsWith('[') && host.endsWith(']') ? ipv6(host.slice(1, -1)) : ipv4(host);
  if (ip === undefined || isWhole) return ip;
  const port = entry.slice(colon + 1);
  if (!/^[1-9]\d{0,4}$/.test(port) || Number(port) > 65_535) return undefined;
  return `${ip}:${port}`;
}

function ipv4(text: string): string | undefined {
  return isIPv4(text) ? text : undefined;
}

function ipv6(text: string): string | undefined {
  if (!isIPv6(text) || text.includes('%')) return undefined;
  return new URL(`http://${urlHost(text)}`).hostname;
}
