import type { ModelEndpoint } from './endpoints.ts';
import { ReplyError } from './error-replies.ts';
import { parseGoDuration } from './go-time.ts';

/** What a request's body asks for. */
export interface Call {
  /** As the caller wrote it. */
  readonly model: string;
  readonly stream: boolean | undefined;
  /** One text, whatever field it came from. */
  readonly prompt: string;
  readonly isPromptEmpty: boolean;
  /** Inputs to embed. */
  readonly inputs: readonly string[];
  readonly maxTokens: number | undefined;
  readonly numCtx: number | undefined;
  /** ms; Infinity for ever; undefined where the request does not say. */
  readonly keepAliveMs: number | undefined;
  readonly includeUsage: boolean;
  readonly wantsTools: boolean;
}

type Json = Readonly<Record<string, unknown>>;

/** Throws ReplyError with the status and words of Ollama. */
export function parseCall(body: Buffer, endpoint: ModelEndpoint): Call {
  const json = decode(body, endpoint);
  checkType(json, 'model', 'string', endpoint);
  checkType(json, 'stream', 'boolean', endpoint);
  const prompt = json.prompt ?? json.messages ?? json.input;
  const options = isObject(json.options) ? json.options : {};
  const model = namedModel(json, endpoint);
  checkRequired(json, model, endpoint);
  return {
    model,
    stream: typeof json.stream === 'boolean' ? json.stream : undefined,
    prompt: typeof prompt === 'string' ? prompt : JSON.stringify(prompt ?? ''),
    isPromptEmpty: prompt === undefined || prompt === null || prompt === '' || isEmptyList(prompt),
    inputs: Array.isArray(prompt) ? prompt.map(String) : prompt === undefined ? [] : [String(prompt)],
    maxTokens:
      integerOption(options, 'num_predict') ??
      numberOf(json.max_completion_tokens ?? json.max_output_tokens ?? json.max_tokens),
    numCtx: integerOption(options, 'num_ctx'),
    keepAliveMs: keepAlive(json.keep_alive),
    includeUsage: isObject(json.stream_options) && json.stream_options.include_usage === true,
    wantsTools: Array.isArray(json.tools) && json.tools.length > 0,
  };
}

/** `ollama run` asks what a model is by its older field, and leaves the newer one empty. */
function namedModel({ model, name }: Json, { work }: ModelEndpoint): string {
  if (typeof model === 'string' && model !== '') return model;
  return work.kind === 'show' && typeof name === 'string' ? name : '';
}

function decode(body: Buffer, { shape, goType }: ModelEndpoint): Json {
  if (body.length === 0) {
    throw new ReplyError(400, shape === 'ollama' ? 'missing request body' : 'EOF', { isDecoding: true });
  }
  const text = body.toString();
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new ReplyError(400, syntaxError(text), { isDecoding: true });
  }
  if (isObject(value)) return value;
  if (value === null) return {};
  throw new ReplyError(400, `json: cannot unmarshal ${goKind(value)} into Go value of type api.${goType}`, {
    isDecoding: true,
  });
}

/** Go's two commonest complaints; a document that merely stops is the first. */
function syntaxError(text: string): string {
  const first = text.trimStart().charAt(0);
  if ('{["'.includes(first) || first === '') return 'unexpected EOF';
  return `invalid character '${first}' looking for beginning of value`;
}

function checkType(json: Json, field: string, type: 'string' | 'boolean', { goType }: ModelEndpoint): void {
  const value = json[field];
  if (value === undefined || value === null || typeof value === type) return;
  const wanted = type === 'boolean' ? 'bool' : type;
  const message = `json: cannot unmarshal ${goKind(value)} into Go struct field ${goType}.${field} of type ${wanted}`;
  throw new ReplyError(400, message, { isDecoding: true });
}

function checkRequired(json: Json, model: string, { shape, work, goType }: ModelEndpoint): void {
  const fail = (message: string, isDecoding = true): never => {
    throw new ReplyError(400, message, { isDecoding });
  };
  switch (goType) {
    case 'ChatRequest':
    case 'EmbeddingRequest':
    case 'ShowRequest':
      if (model === '') fail('model is required');
      break;
    case 'ChatCompletionRequest':
      if (json.messages === undefined || isEmptyList(json.messages)) fail("[] is too short - 'messages'");
      if (model === '') fail('model is required', false);
      break;
    case 'ResponsesRequest':
      if (model === '') fail('model is required', false);
      break;
    case 'MessagesRequest':
      if (model === '') fail('model is required');
      if ((numberOf(json.max_tokens) ?? 0) <= 0) fail('max_tokens is required and must be positive');
      if (json.messages === undefined || isEmptyList(json.messages)) fail('messages is required');
      break;
    default:
      if (shape === 'openai' && work.kind === 'embed' && json.input === undefined) fail('invalid input');
  }
}

function integerOption(options: Json, name: string): number | undefined {
  const value = options[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'number') throw new ReplyError(500, `option "${name}" must be of type integer`);
  return Math.trunc(value);
}

/** Numbers are seconds, strings Go durations; anything negative means for ever. */
function keepAlive(value: unknown): number | undefined {
  if (value === undefined || value === null) return undefined;
  const ms = typeof value === 'number' ? value * 1000 : parseGoDuration(String(value));
  if (ms === undefined) {
    throw new ReplyError(400, `time: invalid duration ${JSON.stringify(value)}`, { isDecoding: true });
  }
  return ms < 0 ? Number.POSITIVE_INFINITY : ms;
}

function numberOf(value: unknown): number | undefined {
  return typeof value === 'number' ? Math.trunc(value) : undefined;
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isEmptyList(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0;
}

function goKind(value: unknown): string {
  if (Array.isArray(value)) return 'array';
  return typeof value === 'boolean' ? 'bool' : typeof value;
}
