import type { ModelKey } from './types.ts';

/** Under which key the figures of a model at a context (tokens; undefined: the node's default) are kept. */
export function figuresKey(model: ModelKey, context: number | undefined): string {
  return context === undefined || !(context >= 1) ? model : `${model} ${Math.floor(Math.log2(context) / 2)}`;
}

/** The figures of a model over all its contexts. Model keys contain no blanks, so that no key means two things. */
export function anyContextKey(model: ModelKey): string {
  return `${model} *`;
}

/**
 * The figures of a node over all its models. A token costs about as many seconds as the model has bytes, so these rates
 * are of a model of `REFERENCE_BYTES`.
 */
export const NODE_FIGURES_KEY = '*';
export const REFERENCE_BYTES = 4 * 1024 ** 3;
