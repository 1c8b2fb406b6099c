import ipaddr from 'ipaddr.js';
import { canonicalIp } from '../destination.ts';
import type { Entry } from './registry-entry.ts';
import type { RegistryPolicy } from './registry-options.ts';

/** Ranges of addresses that belong to one's own network. */
const LOCAL = new Set(['private', 'loopback', 'uniqueLocal', 'carrierGradeNat']);

/**
 * Why a node that answers as Ollama does not join by itself, for people; undefined where it may.
 * A file is the operator's own word, as the configuration is. An agent has shown the join token. An API server is known by
 * its certificate and lets only those name pods whom the cluster's administrators allow to. `ips` are where it was reached.
 */
export function joinProblem(
  { id, latest, decision }: Pick<Entry, 'id' | 'latest' | 'decision'>,
  ips: readonly string[],
  { trust }: Pick<RegistryPolicy, 'trust'>,
): string | undefined {
  if (decision?.kind === 'approved' || latest.source === 'file') return undefined;
  const how = `approve it with: warmpath nodes approve ${id}`;
  if (trust === 'manual') return `waits for approval (discovery.trust is manual); ${how}`;
  if (latest.source === 'agent' || latest.source === 'kubernetes') return undefined;
  if (trust === 'token')
    return `waits for approval (discovery.trust is token: only agents and pods join by themselves); ${how}`;
  const foreign = ips.find((ip) => !isLocal(ip));
  return foreign === undefined
    ? undefined
    : `waits for approval: ${foreign} is not an address of a local network (discovery.trust is lan); ${how}`;
}

function isLocal(ip: string): boolean {
  const canonical = canonicalIp(ip);
  return canonical !== undefined && LOCAL.has(ipaddr.parse(canonical).range());
}
