import type { ModelKey, NodeId } from '../fleet/types.ts';
import type { Lease } from './contract.ts';

const SEPARATOR = '\0';

/** A node and a model as one text, as it is written in Redis: neither name may contain a NUL. */
export function pairOf({ node, model }: Pick<Lease, 'node' | 'model'>): string {
  return `${node}${SEPARATOR}${model}`;
}

/** Undefined where the text is not one that `pairOf` writes. */
export function parsePair(pair: string): readonly [NodeId, ModelKey] | undefined {
  const at = pair.indexOf(SEPARATOR);
  if (at <= 0 || at === pair.length - 1 || pair.includes(SEPARATOR, at + 1)) return undefined;
  return [pair.slice(0, at), pair.slice(at + 1)];
}
