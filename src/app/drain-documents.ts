import { z } from 'zod';
import type { Drain, NodeId } from '../fleet/types.ts';

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
