import { COMPATIBLE_JSON } from '../error-replies.ts';
import type { AnswerFormat, FormatContext } from './format.ts';

/** /v1/messages. */
export function messagesFormat({ model, id }: FormatContext): AnswerFormat {
  const message = {
    id: `msg_${id.toString(16).padStart(24, '0')}`,
    type: 'message',
    role: 'assistant',
    model,
  };
  const stopReason = (reason: string): string => (reason === 'length' ? 'max_tokens' : 'end_turn');
  return {
    streamHeaders: {
      'Cache-Control': 'no-cache',
      Connection: 'keep-alive',
      'Content-Type': 'text/event-stream',
    },
    wholeContentType: COMPATIBLE_JSON,
    begin: () =>
      event('message_start', {
        message: { ...message, content: [], usage: { input_tokens: 1, output_tokens: 0 } },
      }) + event('content_block_start', { index: 0, content_block: { type: 'text', text: '' } }),
    token: (text) => event('content_block_delta', { index: 0, delta: { type: 'text_delta', text } }),
    end: (_text, stats) =>
      event('content_block_stop', { index: 0 }) +
      event('message_delta', {
        delta: { stop_reason: stopReason(stats.doneReason) },
        usage: { input_tokens: stats.promptTokens, output_tokens: stats.tokens },
      }) +
      event('message_stop', {}),
    broken: () => '',
    whole: (text, stats) =>
      JSON.stringify({
        ...message,
        content: [{ type: 'text', text }],
        stop_reason: stopReason(stats.doneReason),
        usage: { input_tokens: stats.promptTokens, output_tokens: stats.tokens },
      }),
  };
}

function event(type: string, data: Record<string, unknown>): string {
  return `event: ${type}\ndata: ${JSON.stringify({ type, ...data })}\n\n`;
}
