import { anyContextKey, figuresKey } from '../../fleet/figures-key.ts';
import type { ModelFigures, NodeView } from '../../fleet/types.ts';
import type { RouteRequest } from '../../request/types.ts';

/** English and code, in most vocabularies. */
const BYTES_PER_TOKEN = 4;
const ANSWER_TOKENS = 256;
const IMAGE_TOKENS = 600;

/** Tokens that a request will most likely cost, prompt and answer: what fairness between callers counts. At least 1. */
export function predictedTokens(request: RouteRequest, node: NodeView | undefined): number {
  const { promptBytes, images, maxTokens, endpoint, isEmpty } = request;
  if (endpoint.operation === 'show' || isEmpty) return 1;
  const figures = figuresOf(request, node);
  const prompt = promptBytes / Math.max(0.5, figures?.bytesPerToken?.value ?? BYTES_PER_TOKEN);
  const usual = figures?.answerTokens?.value ?? ANSWER_TOKENS;
  const answer = endpoint.operation === 'embed' ? 0 : Math.min(usual, maxTokens ?? usual);
  const tokens = prompt + images * IMAGE_TOKENS + Math.max(0, answer);
  return Number.isFinite(tokens) ? Math.max(1, Math.round(tokens)) : 1;
}

export function figuresOf(request: RouteRequest, node: NodeView | undefined): ModelFigures | undefined {
  const { key } = request.model;
  return node?.figures.get(figuresKey(key, request.numCtx)) ?? node?.figures.get(anyContextKey(key));
}
