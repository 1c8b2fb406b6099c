import type { NodeId, NodeUrl } from '../../fleet/types.ts';
import type { Store } from '../../store/contract.ts';
import type { Log } from '../log.ts';
import type { Clock } from '../ports.ts';
import type { Candidate } from './registry-types.ts';

/** What a node said to our questions, or why it is none. `problem` is one sentence for people. */
export type ProbeAnswer =
  /** It answers as Ollama, at these IP addresses. */
  { readonly ips: readonly string[] } | { readonly problem: string };

/**
 * Asks whether an Ollama answers there: bounded, no redirects, destination rules after name resolution. Answers a
 * problem rather than reject; rejects only when `signal` aborts.
 */
export type Probe = (candidate: Candidate, signal: AbortSignal) => Promise<ProbeAnswer>;

export interface RegistryPolicy {
  readonly trust: 'token' | 'lan' | 'manual';
  /** Members that were discovered, agents included. */
  readonly maxNodes: number;
  /** Of those, at most this many by agents. */
  readonly maxAgents: number;
}

export interface NodeRegistryOptions {
  readonly store: Pick<
    Store,
    'isShared' | 'state' | 'documents' | 'putDocument' | 'deleteDocument' | 'publish' | 'subscribe'
  >;
  readonly replica: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly policy: () => RegistryPolicy;
  readonly probe: Probe;
  /** Name of a node that was given none. */
  readonly deriveName: (url: NodeUrl) => string;
  /** Reads a URL back from the store; undefined where it is none. */
  readonly parseUrl: (text: string) => NodeUrl | undefined;
  /** Whether requests of ours run on the node, on any replica. */
  readonly hasRequests: (id: NodeId) => boolean;
  /** The member behind `ip:port`, by what the polls resolved. */
  readonly nodeAt: (address: string) => NodeId | undefined;
}
