import * as z from 'zod';
import type { NodeUrl } from '../../fleet/types.ts';
import { formatOrigin } from '../host-port.ts';
import { cleanName, type Entry, identityKey, keyHash } from './registry-entry.ts';
import type { Candidate } from './registry-types.ts';

const time = z.iso.datetime();
const name = z.string().regex(/^[A-Za-z0-9._-]{1,64}$/);

/** One discovered node as the store keeps it. No token, no other secret. */
const nodeDocument = z.strictObject({
  kind: z.literal('node'),
  id: name,
  identity: z.string().min(1).max(512).optional(),
  url: z.string().max(512),
  source: z.enum(['config', 'file', 'dns', 'localhost', 'mdns', 'kubernetes', 'agent']),
  sourceKey: z.string().max(8_192),
  labels: z.record(z.string().max(64), z.string().max(256)),
  /** left: its source let it go and its requests have ended; kept for a day, so that every replica hears of it. */
  state: z.enum(['candidate', 'member', 'removed', 'left']),
  decision: z.strictObject({ kind: z.enum(['approved', 'removed']), at: time }).optional(),
  /** It needs a token that is not kept here: whoever has its source knows it. */
  needsSource: z.boolean(),
  settings: z.strictObject({
    slots: z.number().int().min(1).max(4_096).optional(),
    vramBytes: z
      .number()
      .int()
      .min(0)
      .max(2 ** 53 - 1)
      .optional(),
    weight: z.number().min(0.01).max(100).optional(),
    drain: z.boolean().optional(),
  }),
  firstSeenAt: time,
  changedAt: time,
});
/** Which key answers for a configured node. */
const ownerDocument = z.strictObject({
  kind: z.literal('owner'),
  id: name,
  identity: z.string().min(1).max(512),
});
const registryDocument = z.discriminatedUnion('kind', [nodeDocument, ownerDocument]);

export type NodeDocument = z.output<typeof nodeDocument>;
export type OwnerDocument = z.output<typeof ownerDocument>;

/** Undefined where it is not what we write. */
export function readDocument(value: unknown): NodeDocument | OwnerDocument | undefined {
  return registryDocument.safeParse(value).data;
}

export function nodeDocumentId(key: string): string {
  return `node-${keyHash(key, 32)}`;
}

export function ownerDocumentId(id: string): string {
  return `owner-${id}`;
}

/** Undefined: not worth keeping, such as a candidate that nobody has approved. */
export function documentOf(entry: Entry): NodeDocument | undefined {
  if (entry.state === 'candidate' && entry.decision === undefined) return undefined;
  const candidate = entry.active ?? entry.latest;
  const { slots, vramBytes, weight, drain, token, tlsCaFile, gpuMetrics } = candidate.settings ?? {};
  return {
    kind: 'node',
    id: entry.id,
    ...(candidate.identity === undefined ? {} : { identity: candidate.identity }),
    url: formatOrigin(candidate.url),
    source: candidate.source,
    sourceKey: entry.sourceKey,
    labels: { ...candidate.labels },
    state: entry.state === 'gone' ? 'member' : entry.state,
    ...(entry.decision === undefined ? {} : { decision: entry.decision }),
    needsSource:
      candidate.source === 'localhost' ||
      token !== undefined ||
      tlsCaFile !== undefined ||
      gpuMetrics !== undefined,
    settings: {
      ...(slots === undefined ? {} : { slots }),
      ...(vramBytes === undefined ? {} : { vramBytes }),
      ...(weight === undefined ? {} : { weight }),
      ...(drain === undefined ? {} : { drain }),
    },
    firstSeenAt: entry.firstSeenAt,
    changedAt: entry.changedAt,
  };
}

/** Undefined where its URL is none. */
export function candidateOf(
  document: NodeDocument,
  parseUrl: (text: string) => NodeUrl | undefined,
): Candidate | undefined {
  const url = parseUrl(document.url);
  if (url === undefined) return undefined;
  const { identity, source, labels, settings } = document;
  return {
    name: document.id,
    url,
    source,
    identity,
    labels,
    // Sound: keys that are absent were left out when it was written, so none is undefined.
    settings: settings as NonNullable<Candidate['settings']>,
  };
}

/** The key of a stored node, by the same rule as for a found one. */
export function documentKey(document: NodeDocument, candidate: Candidate): string {
  return identityKey({ identity: document.identity, url: candidate.url });
}

/** A new entry for what another replica, or this one before its restart, knew. */
export function restoredEntry(key: string, document: NodeDocument, candidate: Candidate, now: number): Entry {
  // What cannot be used without its source waits until that names it.
  const isUsable = document.state === 'member' && !document.needsSource;
  return {
    key,
    id: cleanName(document.id) ?? document.id,
    state: document.state === 'removed' ? 'removed' : isUsable ? 'member' : 'candidate',
    decision: document.decision,
    latest: candidate,
    active: isUsable ? candidate : undefined,
    namedBy: new Set(),
    sourceKey: document.sourceKey,
    problem: document.state === 'removed' ? 'an operator removed it' : undefined,
    ips: [],
    firstSeenAt: document.firstSeenAt,
    lastSeenAt: document.changedAt,
    changedAt: document.changedAt,
    nextProbeAt: now,
    failedProbes: 0,
    isProbing: false,
    goneAt: 0,
  };
}
