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

/** What a client's request says that decides where it goes, how long it takes and what it needs. */
export interface RouteRequest {
  readonly endpoint: InferenceEndpoint;
  readonly model: ModelName;
  readonly stream: boolean | undefined;
  /** `options.num_ctx` where the client set one: a different context reloads a resident model. */
  readonly numCtx: number | undefined;
  readonly keepAlive: KeepAlive;
  /** `keep_alive: 0`, or below a second: the node unloads the model as soon as it has answered. */
  readonly unloads: boolean;
  /** Neither prompt nor messages: the request only loads the model, or unloads it. */
  readonly isEmpty: boolean;
  /** Length of the whole body in bytes. */
  readonly bodyBytes: number;
  /** Bytes of text that the model reads (prompt, messages, system, input, tools), as written in the JSON; no images. */
  readonly promptBytes: number;
  readonly images: number;
  readonly wantsTools: boolean;
  /** Most tokens that the client takes (`num_predict`, `max_tokens` and their like); undefined: it does not say. */
  readonly maxTokens: number | undefined;
  /** Options that change how the model is loaded (`num_gpu`, `main_gpu`, ...), by name; `num_ctx` is not among them. */
  readonly runnerOptions: readonly string[];
  /** The body's own `fallback_models`, in order; at most 8. */
  readonly fallbackModels: readonly ModelName[];
  /** The same for equal bodies; different bodies share one by accident only. Says nothing of their content. */
  readonly fingerprint: string;
  /**
   * Hashes of ever longer beginnings of the prompt, longest last: system prompt and tools, then each turn, the newest
   * too: the next request of the conversation begins with all of it. At most 16: the first two and the longest.
   */
  readonly prefixes: readonly PromptPrefix[];
  /** Where the proxy allows no other nodes: their addresses, `ip:port`, or `ip` for every port there. Not empty; not the body's word. */
  readonly among?: ReadonlySet<string> | undefined;
}

/** How long the client wants the model to stay in memory after the answer: seconds, negative for ever. */
export type KeepAlive = number | undefined;

/** The beginning of a prompt, as two requests of one conversation have it in common. */
export interface PromptPrefix {
  readonly hash: number;
  /** Bytes of `promptBytes` that it covers. */
  readonly bytes: number;
}

/** A change of a request's body; all other bytes stay as they are. */
export type BodyEdit =
  | { readonly field: 'model'; readonly to: string }
  /** Sets `options.num_ctx`, adding the member (and `options`) where it is missing. Ollama's own API only. */
  | { readonly field: 'num_ctx'; readonly to: number }
  /** Seconds, negative for ever. Ollama's own API only. */
  | { readonly field: 'keep_alive'; readonly to: number }
  /** Takes a member of `options` out. */
  | { readonly field: 'option'; readonly name: string };
