import type { InferenceEndpoint, ModelName, RouteRequest } from './types.ts';

/** A request of which nothing more is known than its model: a short text, no wishes. */
export function plainRequest(
  endpoint: InferenceEndpoint,
  model: ModelName,
  fields: Partial<RouteRequest> = {},
): RouteRequest {
  return {
    endpoint,
    model,
    stream: undefined,
    numCtx: undefined,
    keepAlive: undefined,
    unloads: false,
    isEmpty: false,
    bodyBytes: 0,
    promptBytes: 0,
    images: 0,
    wantsTools: false,
    maxTokens: undefined,
    runnerOptions: [],
    fallbackModels: [],
    fingerprint: '',
    prefixes: [],
    ...fields,
  };
}
