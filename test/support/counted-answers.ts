import { TAP } from '../../src/envoy/names.ts';

/** Answers of every API, and what is to be read from them: by envoy/tap.lua in our own Envoy, and by us in ext_proc streams. */

export const COUNTERS =
  '"total_duration":5380599,"load_duration":1828435,"prompt_eval_count":30,"prompt_eval_duration":337809,"eval_count":4,"eval_duration":1931696';
export const OLLAMA = {
  [TAP.promptTokens]: 30,
  [TAP.completionTokens]: 4,
  [TAP.totalNs]: 5380599,
  [TAP.loadNs]: 1828435,
  [TAP.promptEvalNs]: 337809,
  [TAP.evalNs]: 1931696,
};
export const token = (text: string) =>
  `{"model":"m","created_at":"2026-11-21T08:32:01Z","response":${JSON.stringify(text)},"done":false}\n`;
export const lines = (count: number) => Array.from({ length: count }, (_, i) => token(` t${i}`)).join('');
export const last = `{"model":"m","response":"","done":true,"done_reason":"stop",${COUNTERS}}\n`;
const context = `{"model":"m","response":"","done":true,"context":[${Array.from({ length: 5000 }, (_, i) => i).join()}],${COUNTERS}}\n`;
export const delta =
  'data: {"id":"chatcmpl-729","choices":[{"index":0,"delta":{"content":" cloud"},"finish_reason":null}]}\n\n';
const usage =
  'data: {"id":"chatcmpl-729","choices":[],"usage":{"prompt_tokens":21,"completion_tokens":3,"total_tokens":24}}\n\n';
const anthropicDelta =
  'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":11,"output_tokens":7}}\n\n';
const completed = `event: response.completed\ndata: {"response":{"id":"resp_1","output":[{"text":"${'long '.repeat(900)}"}],"usage":{"input_tokens":9,"input_tokens_details":{"cached_tokens":0},"output_tokens":2,"total_tokens":11}},"sequence_number":12,"type":"response.completed"}\n\n`;

export const NDJSON = 'application/x-ndjson';
export const JSON_TYPE = 'application/json; charset=utf-8';
export const EVENTS = 'text/event-stream';
const tokens = (prompt: number, completion: number) => ({
  [TAP.promptTokens]: prompt,
  [TAP.completionTokens]: completion,
});

export interface CountedAnswer {
  readonly name: string;
  readonly type: string;
  readonly body: string;
  readonly want: Readonly<Record<string, number | boolean>>;
  readonly status?: number;
}

export const COUNTED_ANSWERS: readonly CountedAnswer[] = [
  { name: 'an Ollama stream', type: NDJSON, body: lines(50) + last, want: OLLAMA },
  { name: 'an Ollama stream of one line', type: NDJSON, body: last, want: OLLAMA },
  { name: 'a last line longer than the tail', type: NDJSON, body: lines(3) + context, want: OLLAMA },
  { name: 'one Ollama object', type: JSON_TYPE, body: last.trim(), want: OLLAMA },
  {
    name: 'spaces in the JSON',
    type: JSON_TYPE,
    body: '{"prompt_eval_count" : 12, "eval_count": 34}',
    want: tokens(12, 34),
  },
  {
    name: 'embeddings',
    type: JSON_TYPE,
    body: `{"model":"m","embeddings":[[${Array.from({ length: 2000 }, () => '0.123456').join()}]],"total_duration":7,"load_duration":5,"prompt_eval_count":3}`,
    want: { [TAP.totalNs]: 7, [TAP.loadNs]: 5, [TAP.promptTokens]: 3 },
  },
  {
    name: 'an OpenAI object',
    type: 'application/json',
    body: '{"choices":[],"usage":{"prompt_tokens":21,"completion_tokens":4,"total_tokens":25}}',
    want: tokens(21, 4),
  },
  {
    name: 'an OpenAI stream with usage',
    type: EVENTS,
    body: `${delta.repeat(40)}${usage}data: [DONE]\n\n`,
    want: tokens(21, 3),
  },
  {
    name: 'an OpenAI stream without usage',
    type: EVENTS,
    body: `${delta.repeat(40)}data: [DONE]\n\n`,
    want: {},
  },
  {
    name: 'an Anthropic object',
    type: JSON_TYPE,
    body: '{"type":"message","content":[],"usage":{"input_tokens":5,"output_tokens":6}}',
    want: tokens(5, 6),
  },
  {
    name: 'an Anthropic stream',
    type: EVENTS,
    body: `${anthropicDelta}event: message_stop\ndata: {"type":"message_stop"}\n\n`,
    want: tokens(11, 7),
  },
  { name: 'a responses stream', type: EVENTS, body: completed, want: tokens(9, 2) },
  {
    name: 'a responses stream whose last event names its type first',
    type: EVENTS,
    body: `event: response.completed\ndata: {"type":"response.completed","response":{"output":[{"text":"${'long '.repeat(900)}"}],"usage":{"input_tokens":9,"output_tokens":2,"output_tokens_details":{"reasoning_tokens":0}}}}\n\n`,
    want: tokens(9, 2),
  },
  {
    name: 'a responses stream that stops in the middle',
    type: EVENTS,
    body: 'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"x"}\n\n',
    want: { [TAP.error]: true },
  },
  {
    name: 'text that quotes counters',
    type: JSON_TYPE,
    body: `{"message":{"content":${JSON.stringify('"eval_count":99,"prompt_eval_count":98')}},"eval_count":4}`,
    want: { [TAP.completionTokens]: 4 },
  },
  {
    name: 'F55 an error line',
    type: NDJSON,
    body: `${lines(3)}{"error":"an error was encountered while running the model: unexpected EOF"}\n`,
    want: { [TAP.error]: true },
  },
  {
    name: 'an error line without a line feed',
    type: NDJSON,
    body: `${lines(3)}{"error":"boom"}`,
    want: { [TAP.error]: true },
  },
  {
    name: 'F54 a stream of lines that stops cleanly in the middle',
    type: NDJSON,
    body: lines(3),
    want: { [TAP.error]: true },
  },
  {
    name: 'text that looks like an error line',
    type: NDJSON,
    body: `${token('{"error":"x"}')}${last}`,
    want: OLLAMA,
  },
  {
    name: 'F54 an event stream without its last event',
    type: EVENTS,
    body: delta.repeat(3),
    want: { [TAP.error]: true },
  },
  {
    name: 'an Anthropic stream that fails',
    type: EVENTS,
    body: `event: error\ndata: {"type":"error","error":{"type":"api_error","message":"x"}}\n\n`,
    want: { [TAP.error]: true },
  },
  { name: 'an empty answer', type: JSON_TYPE, body: '', want: {} },
  { name: 'another content type', type: 'text/html', body: `<p>${last}</p>`, want: {} },
  {
    name: 'a status that is no success',
    type: JSON_TYPE,
    body: `{"error":"x",${COUNTERS}}`,
    want: {},
    status: 400,
  },
];
