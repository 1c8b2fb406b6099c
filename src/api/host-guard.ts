import { isIP } from 'node:net';

/**
 * Whether a Host header may be answered. A page that rebinds its own DNS name to this machine still sends that name, so
 * names are refused unless they are the machine's own; IP literals cannot be rebound.
 */
export function createHostGuard(allowed: Iterable<string>): (header: string | undefined) => boolean {
  const names = new Set(['localhost', ...[...allowed].map((name) => name.toLowerCase())]);
  return (header) => {
    const host = hostOf(header);
    if (host === undefined) return false;
    return isIP(host) !== 0 || names.has(host) || host.endsWith('.localhost');
  };
}

/** Host without port, brackets, case and final dot; undefined for what is no host. */
function hostOf(header: string | undefined): string | undefined {
  const match = /^(?:\[([0-9a-f:.]+)\]|([\w.-]+))(?::\d{1,5})?$/i.exec(header ?? '');
  const host = (match?.[1] ?? match?.[2])?.toLowerCase();
  return host?.replace(/\.$/, '') || undefined;
}
