import { createSocket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import { isIPv6 } from 'node:net';
import { formatHostPort } from '../app/host-port.ts';

/**
 * The address of this machine that packets to a host leave from, as the routing table has it; nothing is sent.
 * Undefined where there is no way there or the name cannot be resolved.
 */
export async function ownAddressTowards(host: string, port: number): Promise<string | undefined> {
  try {
    const { address } = await lookup(host);
    return await new Promise((resolve) => {
      const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
      const finish = (own: string | undefined): void => {
        socket.removeAllListeners();
        socket.on('error', () => {}).close();
        resolve(own);
      };
      socket.once('error', () => finish(undefined));
      socket.once('connect', () => finish(socket.address().address));
      socket.connect(port, address);
    });
  } catch {
    return undefined;
  }
}

/** The URL that a control plane at `to` would reach this machine's Ollama by. */
export async function ownUrl(to: URL, ollamaPort: number): Promise<string | undefined> {
  const port = to.port === '' ? (to.protocol === 'https:' ? 443 : 80) : Number(to.port);
  const address = await ownAddressTowards(to.hostname.replace(/^\[|\]$/g, ''), port);
  // A zone names an interface of this machine and means nothing elsewhere.
  return address === undefined
    ? undefined
    : `http://${formatHostPort({ host: address.replace(/%.*$/, ''), port: ollamaPort })}`;
}
