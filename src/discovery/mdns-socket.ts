import makeMdns, { type MulticastDNS, type Options } from 'multicast-dns';

/** What a search or an announcement says on the wire. Undefined: port 5353, every interface. */
export type MdnsAddress = Pick<Options, 'port' | 'interface' | 'bind' | 'ip' | 'multicast'>;

/** DNS-SD service types. */
export const SERVICE = {
  /** Us, for agents that look for us: the port is the one that agents report to. */
  warmpath: '_warmpath._tcp.local',
  /** Nodes: machines that announce their Ollama, by whatever program. */
  ollama: '_ollama._tcp.local',
  node: '_warmpath-node._tcp.local',
} as const;

/** Opens the socket; rejects where that is not allowed or 5353 is taken by a program that does not share. */
export function openMdns(address: MdnsAddress): Promise<MulticastDNS> {
  const mdns = makeMdns({ bind: '0.0.0.0', ...address });
  // Malformed packets and interfaces that come and go: nothing to be done about either.
  mdns.on('warning', () => {});
  return new Promise((resolve, reject) => {
    const failed = (error: Error): void => {
      mdns.destroy();
      reject(error);
    };
    mdns.once('error', failed);
    mdns.once('ready', () => {
      mdns.removeListener('error', failed);
      mdns.on('error', () => {});
      resolve(mdns);
    });
  });
}

export function closeMdns(mdns: MulticastDNS): Promise<void> {
  return new Promise((resolve) => mdns.destroy(() => resolve()));
}
