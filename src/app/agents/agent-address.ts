import ipaddr from 'ipaddr.js';
import type { NodeUrl } from '../../fleet/types.ts';
import {
  canonicalIp,
  destinationProblem,
  isLoopbackHost,
  isOwnAddress,
  type Listener,
} from '../destination.ts';

export interface AgentAddressRules {
  /** All addresses of a name; rejects where it has none. */
  readonly lookup: (host: string) => Promise<readonly string[]>;
  /** Whether an agent may name a loopback address: all on one machine. */
  readonly allowLoopback: boolean;
  /** Addresses that lead back to us. */
  readonly listeners: readonly Listener[];
  /** Of this machine's interfaces. */
  readonly localIps: () => readonly string[];
}

const MAX_ADDRESSES = 16;
const PRIVATE = new Set(['private', 'uniqueLocal', 'carrierGradeNat']);

/**
 * Why a node may not be reached at this URL when an agent at `sender` names it, as one sentence; undefined where it may.
 *
 * Every address that the name leads to must be a permitted destination, and the node must be where its agent is: one of
 * the addresses is the sender's, or both are on this machine, or both belong to private networks. The last is wider than
 * equality because there a machine has several addresses (containers, NAT, VPNs); who signs is what binds a name.
 */
export async function agentAddressProblem(
  url: NodeUrl,
  sender: string,
  rules: AgentAddressRules,
): Promise<string | undefined> {
  const { host, port } = url;
  const found = await addressesOf(host, rules);
  if (found.length === 0) return `"${host}" has no address: check its name, or give --url with an IP address`;
  const allowLoopback = rules.allowLoopback && isLoopbackHost(host);
  const localIps = rules.localIps();
  for (const ip of found) {
    const problem = destinationProblem(ip, { allowLoopback });
    if (problem !== undefined) return `"${host}" is refused: ${ip} ${loopbackAdvice(problem)}`;
    if (isOwnAddress(ip, port, rules.listeners, localIps))
      return `"${host}" port ${port} is Warmpath itself; name the address of Ollama`;
  }
  if (isNear(sender, found, localIps)) return undefined;
  return `"${host}" is another machine than the sender ${sender}: each agent speaks for its own machine only`;
}

async function addressesOf(host: string, { lookup }: AgentAddressRules): Promise<readonly string[]> {
  const literal = canonicalIp(host);
  if (literal !== undefined) return [literal];
  try {
    return (await lookup(host)).slice(0, MAX_ADDRESSES);
  } catch {
    return [];
  }
}

function loopbackAdvice(problem: string): string {
  return problem.includes('loopback')
    ? 'is a loopback address; give --url with the address that others reach, or set agents.allowLoopback'
    : problem;
}

function isNear(sender: string, ips: readonly string[], localIps: readonly string[]): boolean {
  const from = canonicalIp(sender);
  if (from === undefined) return false;
  const targets = ips.map((ip) => canonicalIp(ip) ?? ip);
  if (targets.includes(from)) return true;
  const here = new Set(localIps.map((ip) => canonicalIp(ip) ?? ip));
  const isHere = (ip: string): boolean => isLoopbackHost(ip) || here.has(ip);
  if (isHere(from)) return targets.some(isHere) || targets.some(isPrivate);
  return isPrivate(from) && targets.every(isPrivate);
}

function isPrivate(ip: string): boolean {
  return ipaddr.isValid(ip) && PRIVATE.has(ipaddr.parse(ip).range());
}
