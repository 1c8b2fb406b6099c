import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type SimulatedNode, startSimulatedNode } from '../../src/demo/node-simulator.ts';
import { type Answer, post, send } from '../support/http-client.ts';
import { type RealOllama, realOllama, startRealOllama } from '../support/ollama.ts';
import { describeReal } from '../support/require-real.ts';
import { pause } from '../support/wait-for.ts';

interface Sample {
  readonly name: string;
  readonly path: string;
  readonly method?: string;
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
}

const MESSAGES = [{ role: 'user', content: 'hi' }];
const THREE = { num_predict: 3 };
const TOOLS = [
  {
    type: 'function',
    function: { name: 'f', description: 'd', parameters: { type: 'object', properties: {} } },
  },
];
const PIXEL =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
const POSTS = [
  '/api/generate',
  '/api/chat',
  '/api/embed',
  '/api/embeddings',
  '/api/show',
  '/v1/chat/completions',
  '/v1/completions',
  '/v1/embeddings',
  '/v1/responses',
  '/v1/messages',
];
const EVERY_FIELD = { prompt: 'hi', input: 'hi', messages: MESSAGES, max_tokens: 3 };

const INVENTORY: readonly Sample[] = [
  { name: 'root', path: '/' },
  { name: 'root, HEAD', path: '/', method: 'HEAD' },
  { name: 'version', path: '/api/version' },
  { name: 'tags', path: '/api/tags' },
  { name: 'tags, HEAD', path: '/api/tags', method: 'HEAD' },
  { name: 'ps, nothing loaded', path: '/api/ps' },
  { name: 'status', path: '/api/status' },
  { name: 'model list', path: '/v1/models' },
  { name: 'one model', path: '/v1/models/alpha' },
  { name: 'unknown model', path: '/v1/models/nope' },
  { name: 'unknown path', path: '/nothing' },
  { name: 'wrong method on a read', path: '/api/tags', method: 'POST' },
  { name: 'HEAD where only GET is', path: '/api/ps', method: 'HEAD' },
  { name: 'wrong method on inference', path: '/api/chat' },
  { name: 'foreign Host', path: '/api/ps', headers: { host: 'gateway.example.com' } },
  { name: 'foreign Origin', path: '/api/ps', headers: { origin: 'http://evil.example' } },
  { name: 'local Origin', path: '/api/ps', headers: { origin: 'http://localhost:3000' } },
  { name: 'delete of an unknown model', path: '/api/delete', method: 'DELETE', body: { model: 'nope' } },
  { name: 'copy of an unknown model', path: '/api/copy', body: { source: 'nope', destination: 'x' } },
];

const ANSWERS: readonly Sample[] = [
  { name: 'generate', path: '/api/generate', body: { model: 'alpha', prompt: 'hi', options: THREE } },
  {
    name: 'generate, whole',
    path: '/api/generate',
    body: { model: 'alpha', prompt: 'hi', stream: false, options: THREE },
  },
  { name: 'chat', path: '/api/chat', body: { model: 'ALPHA:latest', messages: MESSAGES, options: THREE } },
  {
    name: 'chat, whole',
    path: '/api/chat',
    body: { model: 'alpha', messages: MESSAGES, stream: false, options: THREE },
  },
  { name: 'ps, one loaded', path: '/api/ps' },
  { name: 'preload', path: '/api/generate', body: { model: 'beta' } },
  { name: 'unload', path: '/api/generate', body: { model: 'beta', keep_alive: 0 } },
  { name: 'preload by chat', path: '/api/chat', body: { model: 'beta', messages: [], keep_alive: -1 } },
  {
    name: 'chat completion',
    path: '/v1/chat/completions',
    body: { model: 'alpha', messages: MESSAGES, max_tokens: 3 },
  },
  {
    name: 'chat completion, streamed',
    path: '/v1/chat/completions',
    body: { model: 'alpha', messages: MESSAGES, max_tokens: 3, stream: true },
  },
  {
    name: 'chat completion, streamed with usage',
    path: '/v1/chat/completions',
    body: {
      model: 'alpha',
      messages: MESSAGES,
      max_tokens: 3,
      stream: true,
      stream_options: { include_usage: true },
    },
  },
  { name: 'completion', path: '/v1/completions', body: { model: 'alpha', prompt: 'hi', max_tokens: 3 } },
  { name: 'tools, chat', path: '/api/chat', body: { model: 'Alpha', messages: MESSAGES, tools: TOOLS } },
  {
    name: 'tools, chat completion',
    path: '/v1/chat/completions',
    body: { model: 'alpha', messages: MESSAGES, tools: TOOLS },
  },
  {
    name: 'tools, messages',
    path: '/v1/messages',
    body: {
      model: 'alpha',
      messages: MESSAGES,
      max_tokens: 3,
      tools: [{ name: 'f', input_schema: { type: 'object' } }],
    },
  },
  {
    name: 'an empty list of tools',
    path: '/api/chat',
    body: { model: 'alpha', messages: MESSAGES, tools: [], stream: false, options: THREE },
  },
  {
    name: 'images, for a model that cannot see',
    path: '/api/chat',
    body: {
      model: 'alpha',
      messages: [{ role: 'user', content: 'hi', images: [PIXEL] }],
      stream: false,
      options: THREE,
    },
  },
  {
    name: 'completion, streamed',
    path: '/v1/completions',
    body: { model: 'alpha', prompt: 'hi', max_tokens: 3, stream: true },
  },
  {
    name: 'completion, streamed with usage',
    path: '/v1/completions',
    body: {
      model: 'alpha',
      prompt: 'hi',
      max_tokens: 3,
      stream: true,
      stream_options: { include_usage: true },
    },
  },
  { name: 'response', path: '/v1/responses', body: { model: 'alpha', input: 'hi', max_output_tokens: 3 } },
  {
    name: 'response, streamed',
    path: '/v1/responses',
    body: { model: 'alpha', input: 'hi', max_output_tokens: 3, stream: true },
  },
  { name: 'message', path: '/v1/messages', body: { model: 'alpha', messages: MESSAGES, max_tokens: 3 } },
  {
    name: 'message, streamed',
    path: '/v1/messages',
    body: { model: 'alpha', messages: MESSAGES, max_tokens: 3, stream: true },
  },
  { name: 'embed one', path: '/api/embed', body: { model: 'alpha', input: 'one' } },
  { name: 'embed two', path: '/api/embed', body: { model: 'alpha', input: ['one', 'two'] } },
  { name: 'embed nothing', path: '/api/embed', body: { model: 'alpha' } },
  { name: 'embeddings', path: '/api/embeddings', body: { model: 'alpha', prompt: 'one' } },
  { name: 'OpenAI embeddings', path: '/v1/embeddings', body: { model: 'alpha', input: 'one' } },
];

const REFUSALS: readonly Sample[] = [
  ...POSTS.flatMap((path) => [
    { name: `${path}: unknown model`, path, body: { model: 'nope', ...EVERY_FIELD } },
    { name: `${path}: no body`, path, body: '' },
    { name: `${path}: truncated`, path, body: '{"model":' },
    { name: `${path}: not JSON`, path, body: 'hello' },
    { name: `${path}: no model`, path, body: {} },
    { name: `${path}: no model but all else`, path, body: EVERY_FIELD },
    { name: `${path}: model of the wrong type`, path, body: { model: 5 } },
  ]),
  {
    name: 'stream of the wrong type',
    path: '/api/generate',
    body: { model: 'alpha', prompt: 'x', stream: 'yes' },
  },
  {
    name: 'option of the wrong type',
    path: '/api/generate',
    body: { model: 'alpha', prompt: 'x', options: { num_ctx: 'a' } },
  },
  {
    name: 'keep_alive that is no duration',
    path: '/api/generate',
    body: { model: 'alpha', prompt: 'x', keep_alive: 'soon' },
  },
  { name: 'message without max_tokens', path: '/v1/messages', body: { model: 'alpha', messages: MESSAGES } },
  { name: 'message without messages', path: '/v1/messages', body: { model: 'alpha', max_tokens: 3 } },
  { name: 'an array', path: '/api/generate', body: '[]' },
];

/** Long enough to be still running when the runner is killed. */
const LONG = 40_000;
const LONG_STREAMS = [
  { path: '/api/generate', body: { prompt: 'hi', options: { num_predict: LONG } } },
  { path: '/api/chat', body: { messages: MESSAGES, options: { num_predict: LONG } } },
  { path: '/v1/chat/completions', body: { messages: MESSAGES, max_tokens: LONG, stream: true } },
  { path: '/v1/completions', body: { prompt: 'hi', max_tokens: LONG, stream: true } },
  { path: '/v1/responses', body: { input: 'hi', max_output_tokens: LONG, stream: true } },
  { path: '/v1/messages', body: { messages: MESSAGES, max_tokens: LONG, stream: true } },
];

describeReal(realOllama(), 'the simulator answers as real Ollama does', (path) => {
  let real: RealOllama;
  let simulated: SimulatedNode;

  beforeAll(async () => {
    real = await startRealOllama({ path, models: ['alpha', 'beta'] });
    const models = ['alpha', 'beta'].map((name) => ({
      name,
      sizeBytes: 306_473,
      parameterSize: '146K',
      quantization: 'F16',
      trainedContext: 8192,
    }));
    simulated = await startSimulatedNode({ name: 'sim', models, vramBytes: 0, tokensPerSecond: 1000 });
  });
  afterAll(async () => {
    await Promise.all([real?.stop(), simulated?.close()]);
  });

  const both = (sample: Sample): Promise<Answer[]> =>
    Promise.all(
      [real.url, simulated.url].map((url) =>
        send(url + sample.path, { method: sample.body === undefined ? 'GET' : 'POST', ...sample }),
      ),
    );

  // In this order: what is loaded changes from one to the next.
  describe.each([
    { group: 'inventory', samples: INVENTORY },
    { group: 'answers', samples: ANSWERS },
  ])('$group', ({ samples }) => {
    it.each(samples)('$name: same status, headers and keys', async (sample) => {
      const [theirs, ours] = (await both(sample)).map(shapeOf);
      expect(ours).toEqual(theirs);
    });
  });

  it.each(LONG_STREAMS)('a killed runner ends $path as the scripted one does', async ({ path, body }) => {
    await post(`${real.url}/api/generate`, { model: 'alpha' });
    const broken = post(real.url + path, { model: 'alpha', ...body });
    await pause(150);
    real.killRunners();
    await simulated.setFault({ kind: 'runner_dies', afterTokens: 3 });
    const ours = await post(simulated.url + path, { model: 'alpha', ...body });
    await simulated.setFault(undefined);
    const theirs = await broken;
    expect([theirs.status, theirs.isComplete]).toEqual([200, true]);
    expect([ours.status, ours.isComplete]).toEqual([200, true]);
    expect(endOf(ours)).toEqual(endOf(theirs));
  });

  it.each(REFUSALS)('refusals, $name: same status and words', async (sample) => {
    const [theirs, ours] = (await both(sample)).map((answer) => ({
      status: answer.status,
      contentType: answer.headers['content-type'],
      body: answer.text.replace(/req_[0-9a-f]{24}/, 'req_x'),
    }));
    expect(ours).toEqual(theirs);
  });
});

/** Status, headers, and the keys of every JSON document in the body with the types of their values. */
function shapeOf(answer: Answer): unknown {
  const { 'content-length': length, date, ...headers } = answer.headers;
  return {
    status: answer.status,
    headers: { ...headers, hasLength: length !== undefined, hasDate: date !== undefined },
    isComplete: answer.isComplete,
    endsWithNewline: answer.text.endsWith('\n'),
    body: bodyShape(answer),
  };
}

function bodyShape(answer: Answer): unknown {
  const type = String(answer.headers['content-type'] ?? '');
  if (answer.text === '') return '';
  if (type.startsWith('application/x-ndjson')) return answer.lines().map((line) => keysOf(line));
  if (type.startsWith('text/event-stream')) {
    return answer.text.split('\n').map((line) => {
      const data = /^data: (\{.*)$/.exec(line)?.[1];
      return data === undefined ? line : keysOf(JSON.parse(data));
    });
  }
  return type.startsWith('application/json') ? keysOf(answer.json()) : answer.text;
}

/** Keys of the last token's document and of whatever followed it. */
function endOf(answer: Answer): unknown {
  const documents = answer.text.split('\n').filter((line) => line.includes('{'));
  return documents.slice(-2).map((line) => keysOf(JSON.parse(line.replace(/^data: /, ''))));
}

/** Values that a program may depend on stay; texts, figures and times become their types. */
const KEPT = new Set([
  'done',
  'done_reason',
  'finish_reason',
  'object',
  'type',
  'status',
  'role',
  'stop_reason',
  'owned_by',
  'index',
  'error',
  'format',
  'context_length',
  'size_vram',
  'digest',
  'capabilities',
]);
const LENGTH_MAY_DIFFER = new Set(['context', 'tensors', 'embedding', 'families']);
const CONTENT_MAY_DIFFER = new Set(['model_info']);

function keysOf(value: unknown, key = ''): unknown {
  if (Array.isArray(value)) {
    if (KEPT.has(key)) return value;
    const items = value.map((item) => keysOf(item));
    return LENGTH_MAY_DIFFER.has(key) || items.every((item) => item === 'number') ? items.slice(0, 1) : items;
  }
  if (typeof value === 'object' && value !== null) {
    if (CONTENT_MAY_DIFFER.has(key)) return 'object';
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, keysOf(inner, name)]));
  }
  if (key === 'digest') return typeof value === 'string' && /^[0-9a-f]{64}$/.test(value);
  if (value === null || KEPT.has(key)) return value;
  return typeof value;
}
