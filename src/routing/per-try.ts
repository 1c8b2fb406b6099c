import type { RouteRequest } from '../request/types.ts';
import type { RoutingParams } from './params.ts';
import type { RankedNode, Ranking } from './types.ts';

/** Estimates are means: so many times over, and something is wrong rather than slow. */
const PATIENCE = 3;

/**
 * How long the first byte may take on each attempt, ms. Ollama sends no header while a request waits for a slot or a
 * load, so a limit that is too short cuts requests that are merely queued, and a retry queues them again elsewhere: the
 * limit holds the predicted wait and load several times over. One limit serves all attempts of the request, so it also
 * leaves time for the loads of the nodes further down.
 *
 * Where nothing could follow (one candidate), or where headers come with the whole answer (not streamed), only the limit
 * of an answer applies.
 */
export function perTryTimeoutMs(request: RouteRequest, ranking: Ranking, params: RoutingParams): number {
  const [first, ...others] = ranking.nodes;
  if (first === undefined || others.length === 0) return params.answerTimeoutMs;
  const { operation } = request.endpoint;
  if (operation !== 'show' && !isStreamed(request)) return params.answerTimeoutMs;
  const waitSeconds = first.terms.slotWait + first.terms.prompt;
  const limitMs = params.firstByteTimeoutMs + PATIENCE * waitSeconds * 1000 + loadMs(first, others, params);
  return Math.round(Math.min(params.answerTimeoutMs, Math.max(params.firstByteTimeoutMs, limitMs)));
}

/** `stream` is true by default on Ollama's own endpoints and false on the others; embeddings never stream. */
export function isStreamed(request: RouteRequest): boolean {
  const { family, operation } = request.endpoint;
  if (operation !== 'generate' && operation !== 'chat') return false;
  return request.stream ?? family === 'ollama';
}

function loadMs(first: RankedNode, others: readonly RankedNode[], params: RoutingParams): number {
  if (first.reason === 'any') return 0;
  if (!first.isWarm) return params.loadTimeoutMs;
  let longest = 0;
  for (const { terms } of others) longest = Math.max(longest, terms.load);
  return Math.min(params.loadTimeoutMs, PATIENCE * longest * 1000);
}
