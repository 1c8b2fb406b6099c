import { z } from 'zod';
import type { ModelKey, NodeId } from '../fleet/types.ts';
import type { Lease } from './contract.ts';
import { parseJson } from './json.ts';

/** A request that needs no model in memory has an empty one. */
const pairSchema = z.tuple([z.string().min(1).max(512), z.string().max(1_024)]);

/** A node and a model as one text, written as it is in Redis: `["n1","llama3:8b"]`. */
export function pairOf({ node, model }: Pick<Lease, 'node' | 'model'>): string {
  return JSON.stringify([node, model]);
}

/** Undefined where the text is not one that `pairOf` writes. */
export function parsePair(pair: string): readonly [NodeId, ModelKey] | undefined {
  return pairSchema.safeParse(parseJson(pair)).data;
}
