import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { NodeId, NodeSpec, NodeUrl } from '../../fleet/types.ts';
import { formatOrigin } from '../host-port.ts';
import type { Candidate, RegisteredNode, RegistryState } from './registry-types.ts';

/** An operator's word on a node; the latest one counts, whichever replica heard it. */
export interface Decision {
  readonly kind: 'approved' | 'removed';
  /** ISO 8601. */
  readonly at: string;
}

/** One discovered node. Changed by the registry only. */
export interface Entry {
  /** Who it is: its identity, or its URL where that is all there is. */
  readonly key: string;
  id: NodeId;
  state: RegistryState;
  decision: Decision | undefined;
  /** What its source said last. */
  latest: Candidate;
  /** What the fleet uses: an address is proven before it is. Undefined: it was never a member. */
  active: Candidate | undefined;
  /** Sources that name it now. */
  readonly namedBy: Set<string>;
  /** The source that brought it. */
  sourceKey: string;
  problem: string | undefined;
  /** IP addresses of its last good probe. */
  ips: readonly string[];
  firstSeenAt: string;
  lastSeenAt: string;
  /** When it last changed in a way that the other replicas must hear of. */
  changedAt: string;
  /** Monotonic ms. */
  nextProbeAt: number;
  failedProbes: number;
  isProbing: boolean;
  /** Since when it is gone, monotonic ms. */
  goneAt: number;
}

/** Who a candidate is wherever its address moves. */
export function identityKey({ identity, url }: Pick<Candidate, 'identity' | 'url'>): string {
  return identity === undefined ? `url:${formatOrigin(url)}` : `id:${identity}`;
}

/** Cheap: a source names thousands again and again, hardly any of them changed. */
export function isSameCandidate(a: Candidate, b: Candidate): boolean {
  return (
    a === b ||
    (a.url.host === b.url.host &&
      a.url.port === b.url.port &&
      a.url.scheme === b.url.scheme &&
      a.name === b.name &&
      a.source === b.source &&
      a.identity === b.identity &&
      isSameRecord(a.labels, b.labels) &&
      (a.settings === b.settings || isDeepStrictEqual(a.settings, b.settings)))
  );
}

function isSameRecord(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean {
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => a[key] === b[key]);
}

/** Short and the same everywhere. */
export function keyHash(key: string, length: number): string {
  return createHash('sha256').update(key).digest('hex').slice(0, length);
}

/** `host:port`: two nodes cannot share it. */
export function placeOf({ host, port }: NodeUrl): string {
  return `${host}:${port}`;
}

/** A name as nodes may have it, from whatever a source calls it; undefined where nothing is left. */
export function cleanName(name: string | undefined): string | undefined {
  const clean = name
    ?.slice(0, 64)
    .replace(/[^A-Za-z0-9._-]+/g, '-')
    .replace(/^-+|-+$/g, '');
  return clean === undefined || clean === '' ? undefined : clean;
}

/** The node as the fleet takes it. */
export function specOf(entry: Entry): NodeSpec {
  const candidate = entry.active ?? entry.latest;
  const { settings = {} } = candidate;
  return {
    token: undefined,
    tlsCaFile: undefined,
    slots: undefined,
    vramBytes: undefined,
    weight: 1,
    ...settings,
    id: entry.id,
    url: candidate.url,
    labels: candidate.labels,
    drain: settings.drain === true || entry.state === 'gone',
    identity: entry.key,
  };
}

export function registeredNode(entry: Entry): RegisteredNode {
  return {
    id: entry.id,
    spec: specOf(entry),
    source: entry.latest.source,
    identity: entry.latest.identity,
    state: entry.state,
    firstSeenAt: entry.firstSeenAt,
    lastSeenAt: entry.lastSeenAt,
    problem: entry.problem,
  };
}
