import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type SimulatedNode, startSimulatedNode } from '../../src/demo/node-simulator.ts';
import { connectRaw, post, rawRequest, send } from '../support/http-client.ts';
import { waitFor } from '../support/wait-for.ts';

let node: SimulatedNode;
beforeEach(async () => {
  node = await startSimulatedNode({
    name: 'node',
    models: [
      { name: 'alpha', sizeBytes: 1e7 },
      { name: 'beta', sizeBytes: 1e7 },
    ],
    tokensPerSecond: 1000,
    loadBytesPerSecond: 1e9,
  });
});
afterEach(async () => {
  await node.close();
});

const ask = (more: object = {}, model = 'alpha'): ReturnType<typeof post> =>
  post(`${node.url}/api/generate`, { model, prompt: 'hello', options: { num_predict: 5 }, ...more });
const chat = (): ReturnType<typeof post> =>
  post(`${node.url}/v1/chat/completions`, {
    model: 'alpha',
    messages: [{ role: 'user', content: 'hi' }],
    max_tokens: 5,
    stream: true,
  });
/** Whether the promise is still open after a moment. */
const hangs = (promise: Promise<unknown>, ms = 150): Promise<boolean> =>
  Promise.race([
    promise.then(
      () => false,
      () => false,
    ),
    new Promise<boolean>((resolve) => setTimeout(() => resolve(true), ms)),
  ]);

describe('the listener', () => {
  it('refuses connections, lets running requests end, and comes back on its port', async () => {
    await node.load('alpha');
    const running = post(`${node.url}/api/generate`, {
      model: 'alpha',
      prompt: 'x',
      options: { num_predict: 200 },
    });
    await waitFor('it to run', () => node.stats().running === 1);
    await node.setFault({ kind: 'refuse' });
    await expect(connectRaw(node.url)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    expect((await running).isComplete).toBe(true);
    await node.setFault(undefined);
    expect((await ask()).status).toBe(200);
  });

  it('never accepts: connects neither succeed nor fail', async () => {
    const { port } = node;
    await node.setFault({ kind: 'never_accept' });
    const attempt = connectRaw(node.url);
    attempt.then(
      (connection) => connection.reset(),
      () => {},
    );
    expect(await hangs(attempt, 300)).toBe(true);
    await node.setFault(undefined);
    expect(node.port).toBe(port);
    expect((await ask()).status).toBe(200);
  });

  it('dies as a killed process does, with empty memory, and revives', async () => {
    await node.load('alpha');
    const running = post(`${node.url}/api/generate`, {
      model: 'alpha',
      prompt: 'x',
      options: { num_predict: 5000 },
    });
    await waitFor('it to run', () => node.stats().running === 1);
    node.kill({ downMs: 100 });
    const broken = await running;
    expect([broken.status, broken.isComplete]).toEqual([200, false]);
    await expect(connectRaw(node.url)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await waitFor('it to revive', async () => (await ask()).status === 200);
    expect(node.stats().loads).toBe(2);
  });
});

describe('hanging', () => {
  it('answers nothing at all', async () => {
    await node.setFault({ kind: 'hang', on: 'all' });
    const [inference, read] = [ask(), send(`${node.url}/api/ps`)];
    inference.catch(() => {});
    read.catch(() => {});
    expect([await hangs(inference), await hangs(read)]).toEqual([true, true]);
  });

  it('as a stuck runner does: reads stay healthy, the slot is taken until the client goes', async () => {
    await node.setFault({ kind: 'hang_before_token', times: 1 });
    const client = new AbortController();
    const stuck = post(
      `${node.url}/api/generate`,
      { model: 'alpha', prompt: 'x' },
      { signal: client.signal },
    );
    stuck.catch(() => {});
    await waitFor('the slot to be taken', () => node.stats().running === 1);
    expect((await send(`${node.url}/api/ps`)).text).toContain('alpha:latest');
    const behind = ask();
    expect(await hangs(behind)).toBe(true);
    client.abort();
    expect((await behind).status).toBe(200);
  });

  it('of the polls alone leaves inference fast', async () => {
    await node.setFault({ kind: 'delay', ms: 1_000, on: 'reads' });
    const poll = await send(`${node.url}/api/ps`);
    expect(poll.firstByteMs).toBeGreaterThan(990);
    expect((await ask()).firstByteMs).toBeLessThan(900);
  });
});

describe('dying', () => {
  it.each(['rst', 'fin'] as const)('by %s at byte n, after exactly the bytes before it', async (how) => {
    const whole = await ask();
    for (const afterBytes of [1, 77, 300]) {
      await node.setFault({ kind: 'die', afterBytes, how });
      const answer = await ask();
      expect(answer).toMatchObject({ status: 200, isComplete: false });
      expect(answer.body.length).toBe(afterBytes);
      expect(answer.text.slice(0, 15)).toBe(whole.text.slice(0, Math.min(15, afterBytes)));
    }
  });

  it('in the middle of an answer that has a length', async () => {
    await node.setFault({ kind: 'die', afterBytes: 20, how: 'fin' });
    const answer = await ask({ stream: false });
    expect(Number(answer.headers['content-length'])).toBeGreaterThan(20);
    expect([answer.isComplete, answer.body.length]).toEqual([false, 20]);
  });

  it('before the first byte', async () => {
    await node.setFault({ kind: 'die', afterBytes: 0, how: 'rst', times: 1 });
    await expect(ask()).rejects.toMatchObject({ code: 'ECONNRESET' });
    expect((await ask()).status).toBe(200);
  });

  it('of a runner shows in the stream as Ollama shows it, and the body ends cleanly', async () => {
    await node.setFault({ kind: 'runner_dies', afterTokens: 2 });
    const ollama = await ask();
    expect(ollama.isComplete).toBe(true);
    expect(ollama.lines()).toHaveLength(3);
    expect(ollama.lines().at(-1)).toEqual({
      error: 'an error was encountered while running the model: unexpected EOF',
    });
    const openai = await chat();
    expect(openai.isComplete).toBe(true);
    expect(openai.events()).not.toContain('[DONE]');
    expect(JSON.parse(openai.events().at(-1) ?? '')).toMatchObject({
      model: '',
      choices: [{ finish_reason: null }],
    });
    expect((await ask({ stream: false })).status).toBe(500);
  });

  it('without a word: a clean end, but no final chunk and no [DONE]', async () => {
    await node.setFault({ kind: 'cut_end', afterTokens: 2 });
    const [ollama, openai] = [await ask(), await chat()];
    expect([ollama.isComplete, openai.isComplete]).toEqual([true, true]);
    expect(ollama.lines()).toHaveLength(2);
    expect(ollama.text).not.toContain('"done":true');
    expect(openai.events()).toHaveLength(2);
  });

  it('of the whole process by a query of death, and of that query alone', async () => {
    await node.setFault({ kind: 'query_of_death', word: 'abracadabra', downMs: 100 });
    expect((await ask()).status).toBe(200);
    await expect(ask({ prompt: 'say abracadabra' })).rejects.toThrow();
    await expect(connectRaw(node.url)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await waitFor('it to revive', async () => (await ask()).status === 200);
  });
});

describe('scripted replies', () => {
  it.each([
    { name: '500', fault: { status: 500, message: 'model requires more system memory' } },
    {
      name: '503 with Retry-After',
      fault: { status: 503, message: 'busy', headers: { 'Retry-After': '7' } },
    },
    { name: '429', fault: { status: 429, message: 'slow down' } },
    { name: '404 for a listed model', fault: { status: 404, message: "model 'alpha' not found" } },
    { name: '422', fault: { status: 422, message: 'no' } },
  ])('$name has the shape of the API called', async ({ fault }) => {
    await node.setFault({ kind: 'reply', ...fault });
    const [ollama, openai] = [await ask(), await chat()];
    expect([ollama.status, openai.status]).toEqual([fault.status, fault.status]);
    expect(ollama.json()).toEqual({ error: fault.message });
    expect(openai.json()).toMatchObject({ error: { message: fault.message } });
    expect(ollama.headers['retry-after']).toBe(fault.headers?.['Retry-After']);
  });

  it('HTML with 200, word for word', async () => {
    await node.setFault({
      kind: 'reply',
      status: 200,
      body: '<html>log in</html>',
      contentType: 'text/html',
      on: 'reads',
    });
    const answer = await send(`${node.url}/api/ps`);
    expect([answer.text, answer.headers['content-type']]).toEqual(['<html>log in</html>', 'text/html']);
  });

  it('lies of any size, made as they are sent', async () => {
    const megabyte = 'x'.repeat(1 << 20);
    function* huge(): Generator<string> {
      for (let count = 0; count < 8; count++) yield megabyte;
    }
    await node.setFault({ kind: 'reply', status: 200, body: huge, on: '/api/tags' });
    expect((await send(`${node.url}/api/tags`)).body.length).toBe(8 << 20);
    expect((await send(`${node.url}/api/ps`)).json()).toEqual({ models: [] });
  });

  it('anything instead of HTTP', async () => {
    await node.setFault({
      kind: 'raw',
      bytes: 'HTTP/1.1 200 OK\r\nContent-Length: banana\r\n\r\n',
      ending: 'fin',
    });
    const connection = await connectRaw(node.url);
    connection.write(rawRequest('POST', '/api/generate', { body: '{"model":"alpha"}' }));
    expect(await connection.closed).toBe('fin');
    expect(connection.received).toBe('HTTP/1.1 200 OK\r\nContent-Length: banana\r\n\r\n');
  });
});

describe('scope', () => {
  it('is inference unless said otherwise, and may be one model', async () => {
    await node.setFault({ kind: 'reply', status: 500, model: 'beta' });
    expect((await ask()).status).toBe(200);
    expect((await ask({}, 'beta')).status).toBe(500);
    expect((await send(`${node.url}/api/tags`)).status).toBe(200);
  });

  it('may be a number of requests, and the next fault takes over', async () => {
    await node.setFault({ kind: 'reply', status: 500, times: 2 });
    node.addFault({ kind: 'reply', status: 429, times: 1 });
    const statuses = [];
    for (let count = 0; count < 4; count++) statuses.push((await ask()).status);
    expect(statuses).toEqual([500, 500, 429, 200]);
  });

  it('is recorded like any other request', async () => {
    await node.setFault({ kind: 'reply', status: 500 });
    await ask();
    expect(node.inferenceRequests).toMatchObject([{ model: 'alpha', status: 500, aborted: false }]);
  });
});
