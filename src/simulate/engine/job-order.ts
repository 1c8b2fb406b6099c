import type { ModelKey } from '../../fleet/types.ts';
import type { BodyEdit, RouteRequest } from '../../request/types.ts';
import type { JobOrder } from '../node/job.ts';
import type { SimModelSpec, SimRequest } from '../types.ts';

/** What a node is asked when the request comes to it with these changes of its body. */
export function jobOrder(
  request: SimRequest,
  edits: readonly BodyEdit[],
  models: ReadonlyMap<ModelKey, SimModelSpec>,
): JobOrder {
  let key = request.request.model.key;
  let { numCtx } = request.request;
  let keepAlive = request.request.keepAlive;
  for (const edit of edits) {
    if (edit.field === 'model') key = models.has(edit.to) ? edit.to : `${edit.to}:latest`;
    else if (edit.field === 'num_ctx') numCtx = edit.to;
    else if (edit.field === 'keep_alive') keepAlive = edit.to;
    else if (edit.name === 'num_ctx') numCtx = undefined;
  }
  const model = models.get(key);
  if (model === undefined)
    throw new Error(`request ${request.id} asks for ${key}, a model that the scenario lacks`);
  return {
    model,
    numCtx,
    keepAliveMs:
      keepAlive === undefined ? undefined : keepAlive < 0 ? Number.POSITIVE_INFINITY : keepAlive * 1000,
    promptTokens: request.promptTokens,
    answerTokens: request.request.endpoint.operation === 'embed' ? 0 : request.answerTokens,
    session: request.session,
    sharedTokens: request.sharedTokens,
    prefix: request.prefix,
    isEmpty: request.request.isEmpty,
  };
}

/** Whether the first byte comes with the first token: `stream` is true by default on Ollama's own paths, false on the others. */
export function isStreamed({ endpoint, stream }: RouteRequest): boolean {
  const { family, operation } = endpoint;
  return (operation === 'chat' || operation === 'generate') && (stream ?? family === 'ollama');
}
