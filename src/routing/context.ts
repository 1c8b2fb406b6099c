import type { ResidentModel } from '../fleet/types.ts';
import type { RouteRequest } from '../request/types.ts';
import type { RewritePolicy } from './rewrite-policy.ts';

/** What a request's context does on one node. */
export interface ContextChoice {
  /** `options.num_ctx` to send; undefined: the request goes as it is. */
  readonly numCtx: number | undefined;
  /** The node unloads the model and loads it again for this request, as far as is known. */
  readonly reloads: boolean;
  /** The change avoids a reload that would have happened. */
  readonly saves: boolean;
}

/** What is known of the model on the node, beside what is in memory. */
export interface ContextFacts {
  /** What requests without `num_ctx` get there, see `ModelFigures.defaultContext`. */
  readonly defaultContext?: number | undefined;
  /** The longest context that the model was trained for: Ollama cuts larger ones down to it. */
  readonly trainedContext?: number | undefined;
  /** Ollama's, see `NodeView.version`; undefined counts as older than 0.30. */
  readonly version?: string | undefined;
}

/** Ollama raises smaller ones to it. */
const LEAST_CONTEXT = 4;
const NOTHING_KNOWN: ContextFacts = {};
const AS_IT_IS: ContextChoice = { numCtx: undefined, reloads: false, saves: false };
const RELOADS: ContextChoice = { numCtx: undefined, reloads: true, saves: false };

/**
 * How a request's context meets the one in memory. Ollama reloads a model for any other context, smaller ones too, so a
 * context that fits into the resident one becomes that one; nobody gets less than the node would have given.
 *
 * A request without `num_ctx` asks for the node's default: whether it reloads is known only where `defaultContext` is, and
 * from Ollama 0.30 on it never does. On /v1 nothing can be set, so nothing is: such requests always ask for the default.
 */
export function contextOn(
  request: RouteRequest,
  resident: Pick<ResidentModel, 'contextLength'> | undefined,
  policy: RewritePolicy,
  known: ContextFacts = NOTHING_KNOWN,
): ContextChoice {
  const { endpoint, numCtx } = request;
  if (endpoint.operation === 'show') return AS_IT_IS;
  const loaded = resident?.contextLength;
  const isOllama = endpoint.family === 'ollama';
  if (numCtx === undefined || !isOllama) return automatic(loaded, isOllama, policy, known);

  const most = atMost(policy.numCtxMax ?? Number.POSITIVE_INFINITY, known.trainedContext);
  const wanted = Math.min(Math.max(numCtx, LEAST_CONTEXT), most);
  let sent = wanted;
  if (policy.numCtx === 'pin')
    sent = loaded !== undefined && wanted <= loaded ? loaded : Math.min(bucketFor(wanted, policy), most);
  else if (policy.numCtxMax === undefined || numCtx <= policy.numCtxMax) sent = numCtx;
  const isOther = loaded !== undefined && sent !== loaded;
  return {
    numCtx: sent === numCtx ? undefined : sent,
    reloads: isOther && wanted !== loaded,
    saves: sent === loaded && numCtx !== loaded,
  };
}

/** The request names no context and gets the node's default. */
function automatic(
  loaded: number | undefined,
  isOllama: boolean,
  policy: RewritePolicy,
  { defaultContext, version }: ContextFacts,
): ContextChoice {
  if (loaded === undefined || defaultContext === undefined || loaded === defaultContext) return AS_IT_IS;
  if (takesWhatIsLoaded(version)) return AS_IT_IS;
  // A smaller context than the default is no gift: the prompt might be cut. That load happens once, and all fit afterwards.
  const isPinned = policy.numCtx === 'pin' && isOllama && defaultContext < loaded;
  return isPinned ? { numCtx: loaded, reloads: false, saves: true } : RELOADS;
}

/** The smallest bucket that holds the context; the context itself where none does. */
function bucketFor(wanted: number, { numCtxBuckets }: RewritePolicy): number {
  for (const bucket of numCtxBuckets) if (bucket >= wanted) return bucket;
  return wanted;
}

function atMost(value: number, limit: number | undefined): number {
  return limit === undefined || value < limit ? value : limit;
}

/** Ollama 0.30 and later: an automatic context is no reason to reload. */
function takesWhatIsLoaded(version: string | undefined): boolean {
  if (version === undefined) return false;
  const [major = '', minor = ''] = version.split('.', 2);
  return Number(major) >= 1 || (major === '0' && Number(minor) >= 30);
}
