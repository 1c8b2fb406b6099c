import type { HttpResponse } from '../exchange/response.ts';

/** What OpenAI-compatible servers answer. */
export function completion(model: string, bytes = 0): HttpResponse {
  const build = (content: string): string =>
    JSON.stringify({
      id: 'chatcmpl-1',
      object: 'chat.completion',
      created: 1,
      model,
      choices: [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }],
      usage: { prompt_tokens: 9, completion_tokens: 3, total_tokens: 12 },
    });
  const missing = Math.max(0, bytes - build('Hello.').length);
  return {
    status: 200,
    contentType: 'application/json',
    body: Buffer.from(build(`Hello.${'a'.repeat(missing)}`)),
  };
}

/** The same token by token, as server-sent events. */
export function events(model: string, tokens: number): Buffer[] {
  const event = (value: unknown): Buffer => Buffer.from(`data: ${JSON.stringify(value)}\n\n`);
  const base = { id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model };
  const pieces = Array.from({ length: tokens }, (_, i) =>
    event({ ...base, choices: [{ index: 0, delta: { content: `t${i} ` } }] }),
  );
  const usage = { prompt_tokens: 9, completion_tokens: tokens, total_tokens: 9 + tokens };
  return [...pieces, event({ ...base, choices: [], usage }), Buffer.from('data: [DONE]\n\n')];
}
