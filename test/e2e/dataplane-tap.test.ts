import type { ServerResponse } from 'node:http';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { TAP } from '../../src/envoy/names.ts';
import { envoyBinary } from './dataplane/envoy-binary.ts';
import { Stack } from './dataplane/stack.ts';

const COUNTERS =
  '"total_duration":5380599,"load_duration":1828435,"prompt_eval_count":30,"prompt_eval_duration":337809,"eval_count":4,"eval_duration":1931696';
const OLLAMA = {
  [TAP.promptTokens]: 30,
  [TAP.completionTokens]: 4,
  [TAP.totalNs]: 5380599,
  [TAP.loadNs]: 1828435,
  [TAP.promptEvalNs]: 337809,
  [TAP.evalNs]: 1931696,
};
const token = (text: string) =>
  `{"model":"m","created_at":"2026-11-21T08:32:01Z","response":${JSON.stringify(text)},"done":false}\n`;
const lines = (count: number) => Array.from({ length: count }, (_, i) => token(` t${i}`)).join('');
const last = `{"model":"m","response":"","done":true,"done_reason":"stop",${COUNTERS}}\n`;
const context = `{"model":"m","response":"","done":true,"context":[${Array.from({ length: 5000 }, (_, i) => i).join()}],${COUNTERS}}\n`;
const delta =
  'data: {"id":"chatcmpl-729","choices":[{"index":0,"delta":{"content":" cloud"},"finish_reason":null}]}\n\n';
const usage =
  'data: {"id":"chatcmpl-729","choices":[],"usage":{"prompt_tokens":21,"completion_tokens":3,"total_tokens":24}}\n\n';
const anthropicDelta =
  'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":11,"output_tokens":7}}\n\n';
const completed = `event: response.completed\ndata: {"response":{"id":"resp_1","output":[{"text":"${'long '.repeat(900)}"}],"usage":{"input_tokens":9,"input_tokens_details":{"cached_tokens":0},"output_tokens":2,"total_tokens":11}},"sequence_number":12,"type":"response.completed"}\n\n`;

const NDJSON = 'application/x-ndjson';
const JSON_TYPE = 'application/json; charset=utf-8';
const EVENTS = 'text/event-stream';
const tokens = (prompt: number, completion: number) => ({
  [TAP.promptTokens]: prompt,
  [TAP.completionTokens]: completion,
});

interface Case {
  readonly name: string;
  readonly type: string;
  readonly body: string;
  readonly want: Readonly<Record<string, number | boolean>>;
  readonly status?: number;
}

const CASES: readonly Case[] = [
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

/** Ways of cutting an answer into writes. */
const CUTS = [
  { how: 'at once', size: Number.POSITIVE_INFINITY },
  { how: 'in odd pieces', size: 97 },
  { how: 'byte by byte', size: 1 },
];

describe.skipIf(envoyBinary().missing !== undefined)('the tap', () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await Stack.start();
  });
  afterAll(() => stack?.stop());
  beforeEach(() => {
    stack.reset();
    stack.control.answer = () => ({ kind: 'route', addresses: [stack.node().address] });
  });

  const read = async () => {
    const entry = await stack.control.entry(({ log }) => log === 'requests');
    return Object.fromEntries(entry.metadata.get('warmpath.tap') ?? []);
  };

  describe.each(CUTS)('answers written $how', ({ size }) => {
    it.each(CASES)('$name', async ({ type, body, want, status = 200 }) => {
      stack.node().script = (_request, response) => {
        response.writeHead(status, { 'content-type': type });
        void write(response, Buffer.from(body), size);
      };
      const answer = await stack.post('/api/generate', '{"model":"m"}');
      expect(await answer.text()).toBe(body);
      expect(await read()).toEqual(want);
    });
  });

  it('G18: passes every chunk on at once', async () => {
    stack.node().script = (_request, response) => {
      response.writeHead(200, { 'content-type': NDJSON });
      response.write(token('first'));
      setTimeout(() => response.end(last), 400);
    };
    const answer = await stack.post('/api/generate', '{"model":"m"}');
    const reader = answer.body?.getReader();
    const began = performance.now();
    const first = await reader?.read();
    expect(Buffer.from(first?.value ?? []).toString()).toBe(token('first'));
    expect(performance.now() - began).toBeLessThan(200);
    const second = await reader?.read();
    expect(Buffer.from(second?.value ?? []).toString()).toBe(last);
  });

  it('passes a large answer byte for byte', async () => {
    const body = Buffer.alloc(8 << 20, lines(1));
    stack.node().script = (_request, response) => {
      response.writeHead(200, { 'content-type': JSON_TYPE });
      response.end(body);
    };
    const answer = await stack.post('/api/embed', '{"model":"m"}');
    expect(Buffer.from(await answer.arrayBuffer()).equals(body)).toBe(true);
  });

  it('says nothing of an answer that was cut, and does no harm', async () => {
    stack.node().script = (_request, response) => {
      response.writeHead(200, { 'content-type': NDJSON });
      response.write(lines(3));
      setTimeout(() => response.socket?.destroy(), 30);
    };
    const answer = await stack.post('/api/generate', '{"model":"m"}');
    await expect(answer.text()).rejects.toThrow();
    expect(await read()).toEqual({});
    expect(stack.envoy.log).not.toMatch(/lua/i);
  });
});

async function write(response: ServerResponse, body: Buffer, size: number): Promise<void> {
  response.socket?.setNoDelay(true);
  for (let at = 0; at < body.length; at += size) {
    response.write(body.subarray(at, Math.min(body.length, at + size)));
    // Lets the pieces leave one by one, without waiting for each.
    if (size > 1 || at % 64 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  response.end();
}
