import { z } from 'zod';
import type { Drain, NodeId } from '../../fleet/types.ts';

const MAX_NOTE = 200;
const time = z.iso.datetime();
const note = z.string().max(MAX_NOTE);

/** What the store keeps of one node. An end is kept for a while: what is merely missing was lost, and is written again. */
const drainDocument = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('drain'), since: time, note, removeAt: time.optional(), at: time }),
  z.strictObject({ kind: z.literal('ended'), at: time }),
]);
export type DrainDocument = z.infer<typeof drainDocument>;

/** Undefined for what Warmpath does not write. */
export function readDrainDocument(value: unknown): DrainDocument | undefined {
  return drainDocument.safeParse(value).data;
}

export function drainOf(document: DrainDocument): Drain | undefined {
  if (document.kind === 'ended') return undefined;
  const { since, removeAt } = document;
  return { since, note: document.note, removeAt };
}

/** Fit for tables, logs and the store: one line of bounded length. */
export function cleanNote(text: string): string {
  return text
    .replace(/[\p{C}\p{Zl}\p{Zp}]+/gu, ' ')
    .trim()
    .slice(0, MAX_NOTE);
}

const agentCause = z.enum(['maintenance', 'owner_hours']);
export type AgentCause = z.infer<typeof agentCause>;

/** No name of a node has a colon. */
const AGENT_PREFIX = 'agent:';
const agentDrainDocument = z.strictObject({
  kind: z.literal('agent'),
  causes: z.array(z.strictObject({ cause: agentCause, since: time, note })).max(2),
});

export function agentDocumentId(node: NodeId): string {
  return `${AGENT_PREFIX}${node}`;
}

/** Undefined for the documents of operators. */
export function nodeOfAgentDocument(id: string): NodeId | undefined {
  return id.startsWith(AGENT_PREFIX) ? id.slice(AGENT_PREFIX.length) : undefined;
}

export function agentDocument(
  causes: ReadonlyMap<AgentCause, { readonly drain: Drain }>,
): z.infer<typeof agentDrainDocument> {
  return {
    kind: 'agent',
    causes: [...causes].map(([cause, { drain }]) => ({
      cause,
      since: drain.since,
      note: cleanNote(drain.note),
    })),
  };
}

/** Nothing for what Warmpath does not write. */
export function readAgentDocument(node: NodeId, value: unknown): AgentDrainEntry[] {
  const { data } = agentDrainDocument.safeParse(value);
  return (data?.causes ?? []).map(({ cause, since, note }) => ({ node, cause, drain: { since, note } }));
}

/** What replicas tell each other on the topic `documents`. */
const drainNews = z.discriminatedUnion('kind', [
  /** An operator has spoken: read again. */
  z.strictObject({ kind: z.literal('drains') }),
  /** What agents said to the sender; null: no longer. */
  z.strictObject({
    kind: z.literal('agent_drains'),
    entries: z
      .array(
        z.strictObject({
          node: z.string().min(1).max(64),
          cause: agentCause,
          drain: z.strictObject({ since: time, note }).nullable(),
        }),
      )
      .max(1_000),
  }),
]);
export type DrainNews = z.infer<typeof drainNews>;
export type AgentDrainEntry = Extract<DrainNews, { kind: 'agent_drains' }>['entries'][number];

export function readDrainNews(body: unknown): DrainNews | undefined {
  return drainNews.safeParse(body).data;
}

export function agentEntry(node: NodeId, cause: AgentCause, drain: Drain | undefined): AgentDrainEntry {
  return {
    node,
    cause,
    drain: drain === undefined ? null : { since: drain.since, note: cleanNote(drain.note) },
  };
}
