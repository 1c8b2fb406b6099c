import type { Waiter } from './types.ts';

type Among = Waiter['among'];

/**
 * Whether two requests may want the same node. Where one of them may go to every port of a machine it is taken for granted: they
 * then wait a little longer than they must, at worst.
 */
export function mayMeet(one: Among, other: Among): boolean {
  if (one === undefined || other === undefined || one === other) return true;
  const [small, large] = one.size <= other.size ? [one, other] : [other, one];
  for (const address of small) {
    const host = hostOf(address);
    if (host === '' || large.has(address) || large.has(host)) return true;
  }
  return false;
}

/** Of `ip:port` or `[ipv6]:port`; empty where there is no port. */
function hostOf(address: string): string {
  const colon = address.lastIndexOf(':');
  return colon > address.lastIndexOf(']') ? address.slice(0, colon) : '';
}
