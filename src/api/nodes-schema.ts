import { z } from 'zod';

const NAME = /^[A-Za-z0-9._-]{1,64}$/;
const MAX_DRAIN_MS = 7 * 24 * 3_600_000;

export const nodeParams = z.strictObject({ id: z.string().regex(NAME, 'is no name of a node') });
export const emptyBody = z.strictObject({});
export const drainBody = z.strictObject({
  note: z.string().max(200).default(''),
  /** Remove the node this long after, or as soon as its requests have ended. */
  removeAfterMs: z.number().int().min(0).max(MAX_DRAIN_MS).optional(),
});

export const drainReport = z.object({
  cause: z.enum(['configured', 'operator', 'maintenance', 'owner_hours']),
  /** ISO 8601; null where that is not known, as for the configuration. */
  since: z.string().nullable(),
  note: z.string(),
  /** ISO 8601; null: it stays, drained. */
  removeAt: z.string().nullable(),
});
export type DrainReport = z.infer<typeof drainReport>;

const registeredNode = z.object({
  name: z.string(),
  state: z.enum(['candidate', 'member', 'gone', 'removed']),
  /** How the fleet sees it; null for what is no member. */
  status: z.enum(['unknown', 'ready', 'suspect', 'down', 'draining']).nullable(),
  source: z.string(),
  url: z.string(),
  firstSeenAt: z.string(),
  lastSeenAt: z.string(),
  /** Why it is no member. */
  problem: z.string().nullable(),
  drains: z.array(drainReport),
  /** Running requests on it, of all replicas. */
  inflight: z.number(),
});

/** What `GET /nodes` answers: everything that is known, members or not. Times are ISO 8601. */
export const nodesSchema = z.object({ at: z.string(), nodes: z.array(registeredNode) });
export type NodesReport = z.infer<typeof nodesSchema>;
export type RegisteredNodeReport = NodesReport['nodes'][number];

/** What each change answers. */
export const changedSchema = z.object({ node: registeredNode.nullable() });
