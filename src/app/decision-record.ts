import { z } from 'zod';
import { REQUEST_CLASSES } from '../waiting/types.ts';
import { PICK_REASONS } from './pick-reasons.ts';
import type { OutcomeEnd } from './types.ts';

// A record rather than a list: a word that is missing here does not compile.
const ends: { [End in OutcomeEnd]: End } = {
  complete: 'complete',
  client_gone: 'client_gone',
  truncated: 'truncated',
  in_band_error: 'in_band_error',
  failed: 'failed',
  refused: 'refused',
};

const name = z.string().max(1_024);
const count = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const ms = z.number().min(0).max(1e10);

/**
 * One line of the file that `decisions.record` names: a request that ended, what routing knew of it, chose and expected,
 * and what came. No prompts, no addresses of callers, no keys. What is not known is left out.
 */
export const recordedRequestSchema = z.object({
  /** When it arrived, ISO 8601. */
  at: z.iso.datetime(),
  /** Id of the decision or the refusal. */
  id: name.optional(),
  path: name,
  /** Canonical key of the model asked for, and of the one that was to serve it: aliases and fallbacks make them differ. */
  model: name,
  target: name,
  bodyBytes: count,
  promptBytes: count,
  images: count,
  wantsTools: z.literal(true).optional(),
  /** It only loads the model. */
  isEmpty: z.literal(true).optional(),
  /** `keep_alive: 0`. */
  unloads: z.literal(true).optional(),
  numCtx: count.optional(),
  maxTokens: count.optional(),
  class: z.enum(REQUEST_CLASSES),
  /** Tells callers apart within one run of the process; says not who they are. */
  caller: z.string().max(64),
  /** Hashes of ever longer beginnings of the prompt and how far each goes: which requests share a conversation. */
  prefixes: z.array(z.object({ hash: z.number(), bytes: count })).max(64),
  /** In the line. */
  waitedMs: ms,
  /** Longest time in the line that it was granted. */
  maxWaitMs: ms.optional(),
  /** The node that answered, else the last one tried; of requests that were never placed there is none. */
  node: name.optional(),
  /** Why the first node stood first. */
  reason: z.enum(PICK_REASONS).optional(),
  /** From the decision on, of the node named. */
  predictedFirstTokenMs: ms.optional(),
  predictedCompletionMs: ms.optional(),
  end: z.enum(ends),
  /** 0: none was sent. */
  status: count,
  /** Error code of a refusal. */
  code: name.optional(),
  attempts: count,
  /** From the arrival, the line included. */
  firstByteMs: ms.optional(),
  totalMs: ms,
  promptTokens: count.optional(),
  completionTokens: count.optional(),
  loadMs: ms.optional(),
  promptEvalMs: ms.optional(),
  evalMs: ms.optional(),
});
export type RecordedRequest = z.infer<typeof recordedRequestSchema>;

/** One line of a recording; undefined where it is none (cut off by a crash, or of another program). */
export function parseRecordedLine(line: string): RecordedRequest | undefined {
  let document: unknown;
  try {
    document = JSON.parse(line);
  } catch {
    return undefined;
  }
  const result = recordedRequestSchema.safeParse(document);
  return result.success ? result.data : undefined;
}
