import { lookup } from 'node:dns/promises';
import type { Lookup } from './resolver.ts';

/** The machine's own resolver, hosts file included; IPv4 first, since Ollama listens there unless told otherwise. */
export const systemLookup: Lookup = async (host) => {
  const found = await lookup(host, { all: true, order: 'ipv4first' });
  return found.map(({ address }) => address);
};
