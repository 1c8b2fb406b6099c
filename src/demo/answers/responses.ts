import { COMPATIBLE_JSON } from '../error-replies.ts';
import { type AnswerFormat, type AnswerStats, type FormatContext, seconds } from './format.ts';

/** /v1/responses. */
export function responsesFormat({ model, now, id, maxTokens }: FormatContext): AnswerFormat {
  const createdAt = seconds(now());
  const itemId = `msg_${id}`;
  let sequence = 0;
  const event = (type: string, data: Record<string, unknown>): string =>
    `event: ${type}\ndata: ${JSON.stringify({ ...data, sequence_number: sequence++, type })}\n\n`;
  const part = (text: string): Record<string, unknown> => ({
    type: 'output_text',
    text,
    annotations: [],
    logprobs: [],
  });
  const item = (text: string): Record<string, unknown> => ({
    id: itemId,
    type: 'message',
    status: 'completed',
    role: 'assistant',
    content: [part(text)],
  });
  const response = (text: string | undefined, stats: AnswerStats | undefined): Record<string, unknown> => ({
    id: `resp_${id}`,
    object: 'response',
    created_at: createdAt,
    completed_at: stats === undefined ? null : seconds(now()),
    status: stats === undefined ? 'in_progress' : 'completed',
    incomplete_details: null,
    model,
    previous_response_id: null,
    instructions: null,
    output: text === undefined ? [] : [item(text)],
    error: null,
    ...SETTINGS,
    usage: stats === undefined ? null : usage(stats),
    max_output_tokens: maxTokens ?? null,
    ...IDENTITY,
  });
  const at = { item_id: itemId, output_index: 0, content_index: 0 };
  return {
    streamHeaders: {
      'Cache-Control': 'no-cache',
      Connection: 'keep-alive',
      'Content-Type': 'text/event-stream',
    },
    wholeContentType: COMPATIBLE_JSON,
    begin: () =>
      event('response.created', { response: response(undefined, undefined) }) +
      event('response.in_progress', { response: response(undefined, undefined) }) +
      event('response.output_item.added', {
        item: { id: itemId, type: 'message', status: 'in_progress', role: 'assistant', content: [] },
        output_index: 0,
      }) +
      event('response.content_part.added', { ...at, part: part('') }),
    token: (text) => event('response.output_text.delta', { ...at, delta: text, logprobs: [] }),
    end: (text, stats) =>
      event('response.output_text.done', { ...at, text, logprobs: [] }) +
      event('response.content_part.done', { ...at, part: part(text) }) +
      event('response.output_item.done', { item: item(text), output_index: 0 }) +
      event('response.completed', { response: response(text, stats) }),
    broken: () => '',
    whole: (text, stats) => JSON.stringify(response(text, stats)),
  };
}

const SETTINGS = {
  tools: [],
  tool_choice: 'auto',
  truncation: 'disabled',
  parallel_tool_calls: true,
  text: { format: { type: 'text' } },
  top_p: 1,
  presence_penalty: 0,
  frequency_penalty: 0,
  top_logprobs: 0,
  temperature: 1,
  reasoning: null,
};

const IDENTITY = {
  max_tool_calls: null,
  store: false,
  background: false,
  service_tier: 'default',
  metadata: {},
  safety_identifier: null,
  prompt_cache_key: null,
};

function usage(stats: AnswerStats): Record<string, unknown> {
  return {
    input_tokens: stats.promptTokens,
    output_tokens: stats.tokens,
    total_tokens: stats.promptTokens + stats.tokens,
    input_tokens_details: { cached_tokens: 0 },
    output_tokens_details: { reasoning_tokens: 0 },
  };
}
