import type { ModelOnDisk } from '../fleet/types.ts';
import type { RouteRequest } from '../request/types.ts';

/** Ollama's words for what a model can do, as far as requests need it. */
export type Capability = 'completion' | 'embedding' | 'vision' | 'tools';

/** Made once: one is asked for at every request. Places: plain, with images, with tools, with both. */
const GENERATION: readonly (readonly Capability[])[] = [
  ['completion'],
  ['completion', 'vision'],
  ['completion', 'tools'],
  ['completion', 'tools', 'vision'],
];
const EMBEDDING: readonly Capability[] = ['embedding'];
const NOTHING: readonly Capability[] = [];

/** What a model must be able to do for the request, in the order in which Ollama looks; empty: any will do. */
export function neededCapabilities(request: RouteRequest): readonly Capability[] {
  switch (request.endpoint.operation) {
    case 'show':
      return NOTHING;
    case 'embed':
      return EMBEDDING;
    default:
      return GENERATION[(request.images > 0 ? 1 : 0) + (request.wantsTools ? 2 : 0)] ?? NOTHING;
  }
}

/**
 * The first thing that the request needs and the model cannot do; undefined: it can, or nobody knows. Ollama embeds with any
 * model that completes: who `isNamed` by the client itself may do so here too, but nobody is put in its place who may.
 */
export function missingCapability(
  request: RouteRequest,
  { capabilities }: ModelOnDisk,
  isNamed: boolean,
): Capability | undefined {
  if (capabilities === undefined) return undefined;
  if (isNamed && request.endpoint.operation === 'embed' && capabilities.includes('completion'))
    return undefined;
  for (const needed of neededCapabilities(request)) if (!capabilities.includes(needed)) return needed;
  return undefined;
}
