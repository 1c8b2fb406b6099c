import { messagesFormat } from './answers/anthropic.ts';
import type { AnswerFormat, FormatContext } from './answers/format.ts';
import { ollamaFormat } from './answers/ollama.ts';
import { chatCompletionFormat, textCompletionFormat } from './answers/openai.ts';
import { responsesFormat } from './answers/responses.ts';
import type { ErrorShape } from './error-replies.ts';

/** A POST path that needs a model. */
export interface ModelEndpoint {
  readonly shape: ErrorShape;
  /** Go's name of the request type: it appears in decoding errors. */
  readonly goType: string;
  readonly work: Work;
}

export type Work =
  | {
      readonly kind: 'answer';
      /** The field that holds the prompt; empty or missing asks to load the model where `preloads`. */
      readonly prompt: 'prompt' | 'messages' | 'input';
      readonly preloads: 'generate' | 'chat' | undefined;
      readonly streamsByDefault: boolean;
      readonly format: (context: FormatContext) => AnswerFormat;
    }
  | { readonly kind: 'embed'; readonly answer: 'embed' | 'embeddings' | 'openai' }
  | { readonly kind: 'show' };

export const MODEL_ENDPOINTS: ReadonlyMap<string, ModelEndpoint> = new Map<string, ModelEndpoint>([
  ['/api/generate', ollama('GenerateRequest', 'generate', 'prompt')],
  ['/api/chat', ollama('ChatRequest', 'chat', 'messages')],
  ['/api/embed', { shape: 'ollama', goType: 'EmbedRequest', work: { kind: 'embed', answer: 'embed' } }],
  [
    '/api/embeddings',
    { shape: 'ollama', goType: 'EmbeddingRequest', work: { kind: 'embed', answer: 'embeddings' } },
  ],
  ['/api/show', { shape: 'ollama', goType: 'ShowRequest', work: { kind: 'show' } }],
  ['/v1/chat/completions', compatible('openai', 'ChatCompletionRequest', 'messages', chatCompletionFormat)],
  ['/v1/completions', compatible('openai', 'CompletionRequest', 'prompt', textCompletionFormat)],
  ['/v1/embeddings', { shape: 'openai', goType: 'EmbedRequest', work: { kind: 'embed', answer: 'openai' } }],
  ['/v1/responses', compatible('openai', 'ResponsesRequest', 'input', responsesFormat)],
  ['/v1/messages', compatible('anthropic', 'MessagesRequest', 'messages', messagesFormat)],
]);

/** Reads and their methods, as a 405 lists them. */
export const READ_PATHS: ReadonlyMap<string, readonly string[]> = new Map([
  ['/', ['HEAD', 'GET']],
  ['/api/version', ['HEAD', 'GET']],
  ['/api/tags', ['HEAD', 'GET']],
  ['/api/ps', ['GET']],
  ['/api/status', ['GET']],
  ['/v1/models', ['GET']],
]);

function ollama(goType: string, kind: 'generate' | 'chat', prompt: 'prompt' | 'messages'): ModelEndpoint {
  const format = (context: FormatContext): AnswerFormat => ollamaFormat(kind, context);
  return {
    shape: 'ollama',
    goType,
    work: { kind: 'answer', prompt, preloads: kind, streamsByDefault: true, format },
  };
}

function compatible(
  shape: ErrorShape,
  goType: string,
  prompt: 'prompt' | 'messages' | 'input',
  format: (context: FormatContext) => AnswerFormat,
): ModelEndpoint {
  return {
    shape,
    goType,
    work: { kind: 'answer', prompt, preloads: undefined, streamsByDefault: false, format },
  };
}
