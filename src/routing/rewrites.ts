import { figuresKey } from '../fleet/figures-key.ts';
import type { NodeView } from '../fleet/types.ts';
import { RouterError } from '../request/errors.ts';
import type { BodyEdit, ModelName, RouteRequest } from '../request/types.ts';
import type { Caller } from '../waiting/types.ts';
import { type ContextChoice, contextOn } from './context.ts';
import { keepAliveFor } from './keep-alive.ts';
import type { RewritePolicy } from './rewrite-policy.ts';

/** Why a body is changed; bounded, so that it can be a metric label. */
export const REWRITE_KINDS = [
  'alias', // another name stands for the model
  'fallback', // the model asked for cannot be had, the next of the list can
  'context_pinned', // fits into the context in memory: a reload is avoided
  'context_bucket', // raised to the next of the buckets
  'context_capped', // more than the policy, or the model, allows
  'keep_alive_raised',
  'keep_alive_cut',
  'unload_stopped', // unloading the model after the answer is for the privileged
  'option_stripped', // runner options are for the privileged
] as const;
export type RewriteKind = (typeof REWRITE_KINDS)[number];

/** A change of the body, and why. */
export type Rewrite = BodyEdit & { readonly why: RewriteKind };

const NO_REWRITES: readonly Rewrite[] = [];

/**
 * What must be changed in a request's body before `node` gets it as a request for `target`. Empty for most: such bodies are
 * never touched. `request.model` is what the client wrote; a list that goes on to other nodes takes the same body there.
 */
export function bodyEdits(
  request: RouteRequest,
  target: ModelName,
  node: NodeView,
  caller: Caller,
  policy: RewritePolicy,
): readonly Rewrite[] {
  const edits: Rewrite[] = [];
  if (target.key !== request.model.key)
    edits.push({ field: 'model', to: target.raw, why: whyOther(request, target) });
  if (request.endpoint.family !== 'ollama' || request.endpoint.operation === 'show')
    return edits.length === 0 ? NO_REWRITES : edits;

  const context = contextOnNode(request, target, node, policy);
  if (context.numCtx !== undefined)
    edits.push({ field: 'num_ctx', to: context.numCtx, why: whyContext(request, context) });
  if (!caller.isPrivileged) {
    const keepAlive = keepAliveFor(request, policy);
    if (keepAlive !== undefined) edits.push(keepAlive);
    if (policy.runnerOptions === 'strip')
      for (const name of request.runnerOptions) edits.push({ field: 'option', name, why: 'option_stripped' });
  }
  return edits.length === 0 ? NO_REWRITES : edits;
}

/** `contextOn` with all that is known of the model on the node. */
export function contextOnNode(
  request: RouteRequest,
  target: ModelName,
  node: NodeView,
  policy: RewritePolicy,
): ContextChoice {
  const sent = node.sentContexts?.get(target.key);
  const loaded = sent === undefined ? node.warm.get(target.key) : { contextLength: sent.numCtx };
  return contextOn(request, loaded, policy, {
    defaultContext: node.figures.get(figuresKey(target.key, undefined))?.defaultContext,
    trainedContext: node.models.get(target.key)?.trainedContext,
    version: node.version,
  });
}

/** Throws RouterError `not_privileged` for what only the privileged may ask for and no change of the body can mend. */
export function checkPrivileges(request: RouteRequest, caller: Caller, policy: RewritePolicy): void {
  if (caller.isPrivileged || request.endpoint.operation === 'show') return;
  if (request.isEmpty && request.unloads && policy.unload === 'privileged')
    throw new RouterError(
      'not_privileged',
      'unloading a model needs a privileged key (see "clients" and rewrites.unload in the configuration)',
    );
  const [option] = request.runnerOptions;
  if (option !== undefined && policy.runnerOptions === 'deny')
    throw new RouterError(
      'not_privileged',
      `option "${option}" needs a privileged key (see "clients" and rewrites.runnerOptions in the configuration)`,
    );
}

function whyOther(request: RouteRequest, target: ModelName): RewriteKind {
  return request.fallbackModels.some(({ key }) => key === target.key) ? 'fallback' : 'alias';
}

function whyContext(request: RouteRequest, { numCtx, saves }: ContextChoice): RewriteKind {
  if (saves) return 'context_pinned';
  return numCtx !== undefined && numCtx < (request.numCtx ?? 0) ? 'context_capped' : 'context_bucket';
}
