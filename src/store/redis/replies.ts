import { z } from 'zod';
import type { ModelKey, NodeId } from '../../fleet/types.ts';
import type { InflightCounts, ReplicaInfo } from '../contract.ts';
import { parseJson } from '../json.ts';
import { parsePair } from '../pairs.ts';

const replica = z.object({
  id: z.string().min(1).max(128),
  version: z.string().max(128),
  startedAt: z.string().max(64),
  inflight: z.number().int().nonnegative(),
  waiting: z.number().int().nonnegative(),
  hasEnvoy: z.boolean(),
});
export const texts = z.array(z.string());
export const count = z.number().int().nonnegative();

/** `pair, running, …`; what is not what we write is left out and told of. */
export function countsOf(reply: readonly string[], onRejected: () => void): InflightCounts {
  const counts = new Map<NodeId, Map<ModelKey, number>>();
  for (let i = 0; i < reply.length; i += 2) {
    const names = parsePair(reply[i] ?? '');
    const running = /^[1-9]\d{0,8}$/.test(reply[i + 1] ?? '') ? Number(reply[i + 1]) : undefined;
    if (names === undefined || running === undefined) {
      onRejected();
      continue;
    }
    const [node, model] = names;
    const models = counts.get(node) ?? new Map<ModelKey, number>();
    counts.set(node, models.set(model, running));
  }
  return counts;
}

export function replicaOf(json: string): ReplicaInfo | undefined {
  return replica.safeParse(parseJson(json)).data;
}

/** `<written at> <JSON>`; undefined where it is not what we write. */
export function factsOf(value: string, now: number): { facts: unknown; ageMs: number } | undefined {
  const at = /^(\d{1,16}) /.exec(value);
  if (at === null) return undefined;
  const facts = parseJson(value.slice(at[0].length));
  return facts === undefined ? undefined : { facts, ageMs: Math.max(0, now - Number(at[1])) };
}
