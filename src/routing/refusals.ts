import type { NodeView } from '../fleet/types.ts';
import { RouterError } from '../request/errors.ts';
import type { RouteRequest } from '../request/types.ts';
import type { RoutingParams } from './params.ts';

const MAX_ECHO = 80;

/** No node has the model. Worded as Ollama does, whose embedding endpoints have their own sentence. */
export function modelNotFound(request: RouteRequest): RouterError {
  const name = echo(request);
  return new RouterError(
    'model_not_found',
    request.endpoint.operation === 'embed'
      ? `model "${name}" not found, try pulling it first`
      : `model '${name}' not found`,
  );
}

/** Nodes have the model, but none can take a request now. `knowing` are those that have it. */
export function noNodeFor(
  request: RouteRequest,
  params: RoutingParams,
  knowing: readonly NodeView[] = [],
): RouterError {
  const isOnPurpose = knowing.length > 0 && knowing.every(({ status }) => status === 'draining');
  const why = isOnPurpose
    ? ': every node that has it is being drained'
    : request.among === undefined
      ? ''
      : ': the proxy allows other nodes only';
  return new RouterError('no_node', `no node can serve model '${echo(request)}' now${why}`, {
    retryAfterSeconds: params.retryAfterSeconds,
  });
}

function echo(request: RouteRequest): string {
  const { raw } = request.model;
  return raw.length <= MAX_ECHO ? raw : `${raw.slice(0, MAX_ECHO - 1)}…`;
}
