/** The host of `ip:port`, IPv6 in its brackets; empty where there is none. */
export function hostOf(address: string): string {
  return address.slice(0, Math.max(0, address.lastIndexOf(':')));
}
