import { z } from 'zod';
import { isReproducible } from '../app/decision-inputs.ts';
import type { DecisionRecord } from '../app/types.ts';
import type { AdminSource } from './admin-source.ts';
import { rankingSchema } from './explain-schema.ts';

/** Whether the decision, made again from nothing but its input, comes out the same. */
export type Replay = 'same' | 'different' | 'not_kept';

export type DecisionReport = DecisionRecord & { readonly replay: Replay };

export function decisionReport(
  source: Pick<AdminSource, 'decision' | 'decisionInput'>,
  id: string,
): DecisionReport | undefined {
  const decision = source.decision(id);
  if (decision === undefined) return undefined;
  const input = source.decisionInput(id);
  if (input === undefined) return { ...decision, replay: 'not_kept' };
  return { ...decision, replay: isReproducible(input, decision.ranking) ? 'same' : 'different' };
}

const text = z.string();
const count = z.number();

/** What `GET /decisions/:id` answers; `warmpath explain --decision` reads the same. What is not known is left out. */
export const decisionSchema = z.object({
  id: text,
  requestId: text.optional(),
  /** ISO 8601. */
  at: text,
  path: text,
  asked: text,
  model: text,
  bodyBytes: count,
  features: z.object({
    promptBytes: count,
    images: count,
    wantsTools: z.boolean(),
    isEmpty: z.boolean(),
    unloads: z.boolean(),
    numCtx: count.optional(),
    maxTokens: count.optional(),
    prefixes: count,
  }),
  caller: z.object({ id: text, class: text }).optional(),
  waitedMs: count,
  waitedFor: text.optional(),
  edits: z.array(
    z.looseObject({ field: text, to: z.union([text, count]).optional(), name: text.optional() }),
  ),
  refusal: z.object({ code: text, message: text }).optional(),
  snapshotVersion: count,
  ranking: rankingSchema,
  attempts: z.array(z.object({ node: text, result: text })),
  outcome: z
    .object({
      end: text,
      status: count,
      totalMs: count,
      firstByteMs: count.optional(),
      usage: z.object({ promptTokens: count.optional(), completionTokens: count.optional() }),
    })
    .optional(),
  seconds: z
    .object({
      predictedFirstToken: count,
      predictedCompletion: count,
      realFirstToken: count.optional(),
      realCompletion: count,
    })
    .optional(),
  replay: z.enum(['same', 'different', 'not_kept']),
});
export type DecisionShown = z.infer<typeof decisionSchema>;
