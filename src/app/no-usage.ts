import type { Usage } from './types.ts';

/** Nothing was told of what an answer cost. */
export const NO_USAGE: Usage = {
  promptTokens: undefined,
  completionTokens: undefined,
  totalMs: undefined,
  loadMs: undefined,
  promptEvalMs: undefined,
  evalMs: undefined,
  sawError: false,
};
