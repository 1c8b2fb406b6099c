import { createHash } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import {
  type SimulatedNode,
  type SimulatedNodeOptions,
  startSimulatedNode,
} from '../../src/demo/node-simulator.ts';
import type { RecordedRequest } from '../../src/demo/request-log.ts';
import { post, send } from '../support/http-client.ts';
import { waitFor } from '../support/wait-for.ts';

const nodes: SimulatedNode[] = [];
afterEach(async () => {
  await Promise.all(nodes.splice(0).map((node) => node.close()));
});

async function start(options: Partial<SimulatedNodeOptions> = {}): Promise<SimulatedNode> {
  const node = await startSimulatedNode({
    name: 'node',
    models: [
      { name: 'alpha', sizeBytes: 1e8 },
      { name: 'beta', sizeBytes: 1e8 },
    ],
    tokensPerSecond: 1000,
    promptTokensPerSecond: 1e6,
    loadBytesPerSecond: 1e9,
    ...options,
  });
  nodes.push(node);
  return node;
}

/** Reads part of an answer; what is waited for is in `field`. */
const generate = (model: string, tokens: number, more: object = {}): Record<string, unknown> => ({
  model,
  prompt: 'hello',
  options: { num_predict: tokens },
  ...more,
});

describe('answers', () => {
  it('stream one token a line and end with figures that agree with what happened', async () => {
    const node = await start({ tokensPerSecond: 100 });
    const answer = await post(`${node.url}/api/generate`, generate('alpha', 10));
    const lines = answer.lines() as Record<string, number | string | boolean>[];
    expect(lines).toHaveLength(11);
    const last = lines.at(-1) ?? {};
    expect(last).toMatchObject({ done: true, done_reason: 'length', eval_count: 10, response: '' });
    const ms = (field: string): number => Number(last[field]) / 1e6;
    expect(ms('load_duration')).toBeGreaterThan(95);
    expect(ms('eval_duration')).toBeGreaterThan(85);
    expect(ms('total_duration')).toBeGreaterThanOrEqual(
      ms('load_duration') + ms('prompt_eval_duration') + ms('eval_duration'),
    );
    expect(ms('total_duration')).toBeLessThanOrEqual(answer.totalMs);
    // Paced, not in one lump: the first token comes after the load, the last 90 ms later.
    expect(answer.firstByteMs).toBeGreaterThan(95);
    expect(answer.chunks.length).toBeGreaterThan(2);
    expect((answer.chunks.at(-1)?.atMs ?? 0) - (answer.chunks[0]?.atMs ?? 0)).toBeGreaterThan(40);
  });

  it('are the same for the same prompt on every node, whole or streamed', async () => {
    const [one, two] = [await start(), await start()];
    const whole = await post(`${one.url}/api/generate`, generate('alpha', 12, { stream: false }));
    const streamed = await post(`${two.url}/api/generate`, generate('alpha', 12));
    const text = (streamed.lines() as { response: string }[]).map((line) => line.response).join('');
    expect(whole.json()).toMatchObject({ response: text });
  });

  it('end by themselves where the node says so, and say why', async () => {
    const node = await start({ naturalEnd: 5 });
    const answer = await post(`${node.url}/api/generate`, generate('alpha', 50, { stream: false }));
    expect(answer.json()).toMatchObject({ eval_count: 5, done_reason: 'stop' });
  });

  it('tell what a model is by the older field too, as `ollama run` asks', async () => {
    const node = await start();
    const show = (body: object) => post(`${node.url}/api/show`, body);
    const asked = await show({ model: '', name: 'alpha' });
    expect([asked.status, asked.text]).toEqual([200, (await show({ model: 'alpha' })).text]);
    expect((await show({ model: '', name: '' })).status).toBe(400);
  });

  it('come faster by the time scale', async () => {
    const node = await start({ tokensPerSecond: 2, loadBytesPerSecond: 1e7, timeScale: 100 });
    const answer = await post(`${node.url}/api/generate`, generate('alpha', 20));
    expect(answer.totalMs).toBeLessThan(5_000);
  });
});

describe('digests', () => {
  it('are equal for equal names on different nodes, and for aliases', async () => {
    const [one, two] = [
      await start({ models: [{ name: 'Alpha:latest', sizeBytes: 1 }] }),
      await start({
        models: [
          { name: 'alpha', sizeBytes: 1 },
          { name: 'alias', sizeBytes: 1, aliasOf: 'alpha' },
        ],
      }),
    ];
    const digests = async (node: SimulatedNode): Promise<unknown[]> => {
      const { models } = (await send(`${node.url}/api/tags`)).json() as { models: { digest: string }[] };
      return models.map((model) => model.digest);
    };
    const [first] = await digests(one);
    expect(await digests(two)).toEqual([first, first]);
  });
});

describe('slots', () => {
  it('let requests wait in order without any header', async () => {
    const node = await start({ tokensPerSecond: 200 });
    await node.load('alpha');
    const answers = await Promise.all(
      Array.from({ length: 3 }, () => post(`${node.url}/api/generate`, generate('alpha', 20))),
    );
    const firstBytes = answers.map((answer) => answer.firstByteMs).sort((a, b) => a - b);
    expect(firstBytes[1]).toBeGreaterThan(40);
    expect(firstBytes[2]).toBeGreaterThan(100);
    expect(node.stats().maxRunning).toBe(1);
  });

  it('let as many run together as there are', async () => {
    const node = await start({ slots: 3 });
    await node.load('alpha');
    await Promise.all(
      Array.from({ length: 6 }, () => post(`${node.url}/api/generate`, generate('alpha', 50))),
    );
    expect(node.stats()).toMatchObject({ maxRunning: 3, running: 0, waitingForSlot: 0 });
  });

  it('are freed at once when the client hangs up, and the hang-up is recorded', async () => {
    const node = await start({ tokensPerSecond: 20 });
    await node.load('alpha');
    const hungUp = await post(`${node.url}/api/generate`, generate('alpha', 1000), { hangUpAfterBytes: 50 });
    expect(hungUp.isComplete).toBe(false);
    const next = await post(`${node.url}/api/generate`, generate('alpha', 1));
    expect(next.firstByteMs).toBeLessThan(5_000);
    const [first, second] = node.inferenceRequests;
    expect(first).toMatchObject({ aborted: true, status: 200 });
    expect(first?.endedAt).toBeLessThan(second?.endedAt ?? 0);
    expect(second).toMatchObject({ aborted: false, status: 200, tokens: 1 });
  });

  it('are given to the next when a client leaves the line', async () => {
    const node = await start({ tokensPerSecond: 100 });
    await node.load('alpha');
    const running = post(`${node.url}/api/generate`, generate('alpha', 30));
    await waitFor('the first to run', () => node.stats().running === 1);
    const leaving = new AbortController();
    const left = post(`${node.url}/api/generate`, generate('alpha', 30), { signal: leaving.signal });
    left.catch(() => {});
    await waitFor('the second to wait', () => node.stats().waitingForSlot === 1);
    leaving.abort();
    await expect(left).rejects.toThrow();
    await waitFor('it to leave', () => node.stats().waitingForSlot === 0);
    expect((await running).isComplete).toBe(true);
    expect(node.stats().running).toBe(0);
  });
});

describe('the queue', () => {
  it('is refused with 503 in the shape of the API called when it is full', async () => {
    const node = await start({ maxQueue: 1 });
    const answers = await Promise.all(
      Array.from({ length: 4 }, (_, index) =>
        index % 2 === 0
          ? post(`${node.url}/api/generate`, generate('alpha', 1))
          : post(`${node.url}/v1/completions`, { model: 'alpha', prompt: 'x', max_tokens: 1 }),
      ),
    );
    expect(answers.map((answer) => answer.status).sort()).toEqual([200, 200, 503, 503]);
    const message = 'server busy, please try again.  maximum pending requests exceeded';
    for (const answer of answers.filter(({ status }) => status === 503)) {
      expect(answer.headers['retry-after']).toBeUndefined();
      expect([
        { error: message },
        { error: { message, type: 'api_error', param: null, code: null } },
      ]).toContainEqual(answer.json());
    }
  });
});

describe('memory', () => {
  it('shows in /api/ps what requests loaded, with their context', async () => {
    const node = await start({ vramBytes: 1e9 });
    await post(`${node.url}/api/generate`, {
      ...generate('alpha', 1),
      options: { num_ctx: 2048, num_predict: 1 },
    });
    const { models } = (await send(`${node.url}/api/ps`)).json() as { models: Record<string, unknown>[] };
    const size = 1e8 + 2048 * 128 * 1024;
    expect(models).toMatchObject([{ name: 'alpha:latest', context_length: 2048, size, size_vram: size }]);
    await post(`${node.url}/api/generate`, { model: 'alpha', keep_alive: 0 });
    expect(node.loaded()).toEqual([]);
  });
});

describe('the record', () => {
  it('holds method, path, headers and the digest of the body, management included', async () => {
    const node = await start();
    const body = JSON.stringify(generate('alpha', 1));
    await post(`${node.url}/api/generate?x=1`, body, { headers: { 'x-test': 'yes' } });
    await post(`${node.url}/api/pull`, { model: 'gamma' });
    await send(`${node.url}/api/delete`, { method: 'DELETE', body: { model: 'beta' } });
    expect(node.requests.map((request) => [request.method, request.path, request.status])).toEqual([
      ['POST', '/api/generate?x=1', 200],
      ['POST', '/api/pull', 200],
      ['DELETE', '/api/delete', 200],
    ]);
    expect(node.requests[0]).toMatchObject({
      bodySha256: createHash('sha256').update(body).digest('hex'),
      bodyBytes: body.length,
      model: 'alpha',
    });
    expect(node.requests[0]?.headers['x-test']).toBe('yes');
    const { models } = (await send(`${node.url}/api/tags`)).json() as { models: { name: string }[] };
    expect(models.map((model) => model.name)).toEqual(['alpha:latest']);
  });

  it('is bounded', async () => {
    const node = await start({ logLimit: 10 });
    for (let count = 0; count < 25; count++) await send(`${node.url}/api/version`);
    expect(node.requests.length).toBeLessThanOrEqual(10);
    expect(node.stats().requests).toBe(25);
  });
});

describe('load', () => {
  it('carries 2,000 streams at once, and is idle again when their clients go', async () => {
    const node = await start({ slots: 2000, maxQueue: 4096, tokensPerSecond: 2, vramBytes: 0 });
    await node.load('alpha');
    const clients = new AbortController();
    const answers = Array.from({ length: 2000 }, () =>
      post(`${node.url}/api/generate`, generate('alpha', 1000), { signal: clients.signal }),
    );
    const streams = (): readonly RecordedRequest[] => node.inferenceRequests;
    const wait = { timeoutMs: 25_000 };
    await waitFor('all to run', () => node.stats().running === 2000, wait);
    await waitFor('all to have a second token', () => streams().every(({ tokens }) => tokens > 1), wait);
    clients.abort();
    const ended = await Promise.allSettled(answers);
    expect(ended.every((end) => end.status === 'fulfilled' && !end.value.isComplete)).toBe(true);
    await waitFor('all slots to be free', () => node.stats().running === 0);
    expect(streams().every((stream) => stream.aborted)).toBe(true);
  });
});
