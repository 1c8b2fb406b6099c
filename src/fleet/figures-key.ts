import type { ModelKey } from './types.ts';

/** Under which key the figures of a model at a context (tokens; undefined: the node's default) are kept. */
export function figuresKey(model: ModelKey, context: number | undefined): string {
  return context === undefined || !(context >= 1) ? model : `${model} ${Math.floor(Math.log2(context) / 2)}`;
}
