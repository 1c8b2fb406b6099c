/** Which API's shapes a path speaks: errors, model lists and statistics differ. */
export type ApiFamily = 'ollama' | 'openai' | 'anthropic';

/** What a request asks of a node. `show` reads a model's description and loads nothing. */
export type Operation = 'generate' | 'chat' | 'embed' | 'show';

/** One inference path that clients may call with POST. */
export interface InferenceEndpoint {
  readonly path: string;
  readonly family: ApiFamily;
  readonly operation: Operation;
  /** Whether the body may name the model `name` instead of `model` (Ollama's older synonym). */
  readonly acceptsName: boolean;
}

/** A model as the client wrote it, and the key under which every part of Warmpath knows it. */
export interface ModelName {
  /** The client's own spelling, at most 512 bytes of a safe alphabet: fit for messages and logs. */
  readonly raw: string;
  /** Canonical: ASCII lower case, default host and namespace dropped, tag always present (`llama3:latest`). */
  readonly key: string;
}

/** The few fields of a client's request that decide where it goes. */
export interface RouteRequest {
  readonly endpoint: InferenceEndpoint;
  readonly model: ModelName;
  readonly stream: boolean | undefined;
  /** `options.num_ctx` where the client set one: a different context reloads a resident model. */
  readonly numCtx: number | undefined;
  /** `keep_alive: 0`, or below a second: the node unloads the model as soon as it has answered. */
  readonly unloads: boolean;
  /** Length of the whole body in bytes. */
  readonly bodyBytes: number;
}
