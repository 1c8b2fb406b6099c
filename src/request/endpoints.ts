import type { ApiFamily, InferenceEndpoint, Operation } from './types.ts';

/** One read that is answered from the fleet's state, in the shape of the API it belongs to. */
export interface ReadEndpoint {
  readonly read: 'root' | 'version' | 'tags' | 'ps' | 'models' | 'model';
  /** For `model`: the prefix that stands before the model's name. */
  readonly path: string;
  readonly isPrefix: boolean;
  readonly methods: readonly ('GET' | 'HEAD')[];
  readonly family: ApiFamily;
}

/** Everything that clients may POST. Envoy's route table is rendered from this list: what is not here is denied. */
export const INFERENCE_ENDPOINTS: readonly InferenceEndpoint[] = [
  inference('/api/generate', 'generate'),
  inference('/api/chat', 'chat'),
  inference('/api/embed', 'embed'),
  inference('/api/embeddings', 'embed'),
  { ...inference('/api/show', 'show'), acceptsName: true },
  inference('/v1/chat/completions', 'chat'),
  inference('/v1/completions', 'generate'),
  inference('/v1/embeddings', 'embed'),
  inference('/v1/responses', 'chat'),
  inference('/v1/messages', 'chat'),
];

/** Everything that clients may GET. Envoy's route table is rendered from this list too. */
export const READS: readonly ReadEndpoint[] = [
  read('root', '/'),
  read('version', '/api/version'),
  read('tags', '/api/tags'),
  read('ps', '/api/ps'),
  read('models', '/v1/models'),
  { ...read('model', '/v1/models/'), isPrefix: true },
];

const byPath = new Map(INFERENCE_ENDPOINTS.map((endpoint) => [endpoint.path, endpoint]));

/** The endpoint of a path without its query; undefined where the path is not inference. */
export function inferenceEndpoint(path: string): InferenceEndpoint | undefined {
  return byPath.get(path);
}

/** The read of a path without its query; undefined where nothing is read there. */
export function readEndpoint(path: string): ReadEndpoint | undefined {
  return READS.find(({ isPrefix, path: known }) =>
    isPrefix ? path.startsWith(known) && path.length > known.length : path === known,
  );
}

/** Whose error shape a path is answered in, known or not. */
export function apiFamily(path: string): ApiFamily {
  if (path.startsWith('/v1/messages')) return 'anthropic';
  return path.startsWith('/v1/') ? 'openai' : 'ollama';
}

function inference(path: string, operation: Operation): InferenceEndpoint {
  return { path, family: apiFamily(path), operation, acceptsName: false };
}

function read(name: ReadEndpoint['read'], path: string): ReadEndpoint {
  return { read: name, path, isPrefix: false, methods: ['GET', 'HEAD'], family: apiFamily(path) };
}
