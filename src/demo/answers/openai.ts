import { COMPATIBLE_JSON } from '../error-replies.ts';
import { type AnswerFormat, type AnswerStats, type FormatContext, seconds } from './format.ts';

const STREAM_HEADERS = { 'Content-Type': 'text/event-stream' };

/** /v1/chat/completions. */
export function chatCompletionFormat({ model, now, id, includeUsage }: FormatContext): AnswerFormat {
  const created = seconds(now());
  const head = (object: string, name = model): Record<string, unknown> => ({
    id: `chatcmpl-${id}`,
    object,
    created,
    model: name,
    system_fingerprint: 'fp_ollama',
  });
  const chunk = (content: string, finish: string | null, name = model): string =>
    event({
      ...head('chat.completion.chunk', name),
      choices: [{ index: 0, delta: { role: 'assistant', content }, finish_reason: finish }],
    });
  return {
    streamHeaders: STREAM_HEADERS,
    wholeContentType: COMPATIBLE_JSON,
    begin: () => '',
    token: (content) => chunk(content, null),
    end: (_text, stats) =>
      chunk('', stats.doneReason) +
      (includeUsage ? event({ ...head('chat.completion.chunk'), choices: [], usage: usage(stats) }) : '') +
      DONE,
    // A killed runner shows only by the missing finish_reason and [DONE].
    broken: () => chunk('', null, ''),
    whole: (content, stats) =>
      JSON.stringify({
        ...head('chat.completion'),
        choices: [{ index: 0, message: { role: 'assistant', content }, finish_reason: stats.doneReason }],
        usage: usage(stats),
      }),
  };
}

/** /v1/completions. */
export function textCompletionFormat({ model, now, id, includeUsage }: FormatContext): AnswerFormat {
  const created = seconds(now());
  const head = { id: `cmpl-${id}`, object: 'text_completion', created };
  const noUsage = includeUsage ? { usage: { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 } } : {};
  const chunk = (text: string, finish: string | null, name = model): string =>
    event({
      ...head,
      choices: [{ text, index: 0, finish_reason: finish }],
      model: name,
      system_fingerprint: 'fp_ollama',
      ...noUsage,
    });
  return {
    streamHeaders: STREAM_HEADERS,
    wholeContentType: COMPATIBLE_JSON,
    begin: () => '',
    token: (text) => chunk(text, null),
    end: (_text, stats) =>
      chunk('', stats.doneReason) +
      (includeUsage
        ? event({ ...head, choices: [], model, system_fingerprint: 'fp_ollama', usage: usage(stats) })
        : '') +
      DONE,
    broken: () => chunk('', null, ''),
    whole: (text, stats) =>
      JSON.stringify({
        ...head,
        model,
        system_fingerprint: 'fp_ollama',
        choices: [{ text, index: 0, finish_reason: stats.doneReason }],
        usage: usage(stats),
      }),
  };
}

const DONE = 'data: [DONE]\n\n';

function event(data: Record<string, unknown>): string {
  return `data: ${JSON.stringify(data)}\n\n`;
}

function usage(stats: AnswerStats): Record<string, number> {
  return {
    prompt_tokens: stats.promptTokens,
    completion_tokens: stats.tokens,
    total_tokens: stats.promptTokens + stats.tokens,
  };
}
