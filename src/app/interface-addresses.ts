import { networkInterfaces } from 'node:os';

/** The IP addresses of this machine. */
export function interfaceAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap(
    (addresses) => addresses?.map(({ address }) => address) ?? [],
  );
}
