import { OLLAMA_JSON } from '../error-replies.ts';
import { goTime } from '../go-time.ts';
import type { AnswerFormat, AnswerStats, FormatContext } from './format.ts';

const STREAM_HEADERS = { 'Content-Type': 'application/x-ndjson' };
export const RUNNER_DIED = 'an error was encountered while running the model: unexpected EOF';

/** /api/generate and /api/chat: one JSON object a line, the last with the statistics. */
export function ollamaFormat(kind: 'generate' | 'chat', { model, now }: FormatContext): AnswerFormat {
  const head = (): Record<string, unknown> => ({ model, created_at: goTime(now()) });
  const text = (content: string): Record<string, unknown> =>
    kind === 'generate' ? { response: content } : { message: { role: 'assistant', content } };
  const last = (content: string, stats: AnswerStats): string =>
    JSON.stringify({
      ...head(),
      ...text(content),
      done: true,
      done_reason: stats.doneReason,
      ...(kind === 'generate' ? { context: [353, 343, 341] } : {}),
      ...statistics(stats),
    });
  return {
    streamHeaders: STREAM_HEADERS,
    wholeContentType: OLLAMA_JSON,
    begin: () => '',
    token: (content) => `${JSON.stringify({ ...head(), ...text(content), done: false })}\n`,
    end: (_text, stats) => `${last('', stats)}\n`,
    broken: () => `${JSON.stringify({ error: RUNNER_DIED })}\n`,
    whole: last,
  };
}

/** The answer to an empty prompt: the model was loaded, or let go. */
export function ollamaLoadReply(
  kind: 'generate' | 'chat',
  { model, now }: FormatContext,
  reason: 'load' | 'unload',
): string {
  const text = kind === 'generate' ? { response: '' } : { message: { role: 'assistant', content: '' } };
  return JSON.stringify({ model, created_at: goTime(now()), ...text, done: true, done_reason: reason });
}

function statistics(stats: AnswerStats): Record<string, number> {
  return {
    total_duration: nanoseconds(stats.totalMs),
    load_duration: nanoseconds(stats.loadMs),
    prompt_eval_count: stats.promptTokens,
    prompt_eval_duration: nanoseconds(stats.promptEvalMs),
    eval_count: stats.tokens,
    eval_duration: nanoseconds(stats.evalMs),
  };
}

/** Never 0: the real one does not answer in no time either. */
export function nanoseconds(ms: number): number {
  return Math.max(1, Math.round(ms * 1e6));
}
