import { Ollama } from 'ollama';
import OpenAI, {
  APIConnectionError,
  BadRequestError,
  InternalServerError,
  NotFoundError,
  PermissionDeniedError,
} from 'openai';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type SimulatedFleet, startFleet } from '../sim/fleet.ts';
import { realEnvoy } from '../support/envoy.ts';
import { describeReal } from '../support/require-real.ts';
import { type RunningWarmpath, startWarmpath } from '../support/warmpath.ts';

const SLASHED = 'team/tuned:1b';
const MESSAGES = [{ role: 'user' as const, content: 'hi' }];

describeReal(await realEnvoy(), 'official clients work unchanged', () => {
  let fleet: SimulatedFleet;
  let warmpath: RunningWarmpath;

  beforeAll(async () => {
    const models = ['alpha', SLASHED].map((name) => ({ name, sizeBytes: 1e6 }));
    fleet = await startFleet(2, { models, timeScale: 100 });
    warmpath = await startWarmpath({ nodes: fleet.specs });
  });
  afterAll(async () => {
    await warmpath?.stop();
    await fleet?.close();
  });
  beforeEach(async () => {
    for (const node of fleet.nodes) await node.setFault(undefined);
    fleet.clearRequests();
  });

  const allIdle = () => fleet.nodes.every((node) => node.stats().running === 0);

  describe('ollama', () => {
    const client = () => new Ollama({ host: warmpath.url });

    it('chats, whole and streamed', async () => {
      const whole = await client().chat({ model: 'alpha', messages: MESSAGES, options: { num_predict: 3 } });
      expect(whole).toMatchObject({ model: 'alpha', done: true, eval_count: 3 });
      const parts = [];
      for await (const part of await client().chat({ model: 'alpha', messages: MESSAGES, stream: true }))
        parts.push(part);
      expect(parts.length).toBeGreaterThan(3);
      expect(parts.at(-1)).toMatchObject({ done: true, done_reason: 'length' });
    });

    it('generates, whole and streamed', async () => {
      const whole = await client().generate({ model: 'alpha', prompt: 'hi', options: { num_predict: 3 } });
      expect(whole.response).not.toBe('');
      let text = '';
      for await (const part of await client().generate({ model: 'alpha', prompt: 'hi', stream: true }))
        text += part.response;
      expect(text).not.toBe('');
    });

    it('embeds', async () => {
      const { embeddings } = await client().embed({ model: 'alpha', input: ['one', 'two'] });
      expect(embeddings).toHaveLength(2);
      const { embedding } = await client().embeddings({ model: 'alpha', prompt: 'one' });
      expect(embedding.length).toBeGreaterThan(0);
    });

    it('lists, shows and tells what is loaded', async () => {
      const { models } = await client().list();
      expect(models.map(({ name }) => name).sort()).toEqual(['alpha:latest', SLASHED]);
      expect((await client().show({ model: SLASHED })).details.format).toBe('gguf');
      await client().generate({ model: 'alpha', prompt: 'hi', options: { num_predict: 1 } });
      await expect
        .poll(async () => (await client().ps()).models.map(({ name }) => name), { timeout: 5000 })
        .toContain('alpha:latest');
    });

    it('aborts: the iteration ends, and so does the work of the node', async () => {
      const ollama = client();
      const options = { num_predict: 100_000 };
      const stream = await ollama.generate({ model: 'alpha', prompt: 'hi', stream: true, options });
      const read = async () => {
        for await (const _ of stream) {
          expect(allIdle()).toBe(false);
          ollama.abort();
        }
      };
      await expect(read()).rejects.toThrow(/abort/i);
      await expect.poll(allIdle).toBe(true);
    });

    it('G19: throws what it throws for Ollama', async () => {
      await expect(client().chat({ model: 'nope', messages: MESSAGES })).rejects.toMatchObject({
        name: 'ResponseError',
        status_code: 404,
        error: "model 'nope' not found",
      });
      await expect(client().embed({ model: 'nope', input: 'x' })).rejects.toMatchObject({
        status_code: 404,
        error: 'model "nope" not found, try pulling it first',
      });
      await expect(client().pull({ model: 'alpha' })).rejects.toMatchObject({ status_code: 403 });
      await expect(client().delete({ model: 'alpha' })).rejects.toMatchObject({ status_code: 403 });
      expect(fleet.forbidden).toEqual([]);
    });
  });

  describe('openai', () => {
    const client = (maxRetries = 0) =>
      new OpenAI({ baseURL: `${warmpath.url}/v1`, apiKey: 'anything', maxRetries });

    it('completes chats, whole and streamed', async () => {
      const whole = await client().chat.completions.create({
        model: 'alpha',
        messages: MESSAGES,
        max_tokens: 3,
      });
      expect(whole.choices[0]?.message.content).not.toBe('');
      expect(whole.usage?.completion_tokens).toBe(3);
      const stream = await client().chat.completions.create({
        model: 'alpha',
        messages: MESSAGES,
        max_tokens: 5,
        stream: true,
        stream_options: { include_usage: true },
      });
      const chunks = [];
      for await (const chunk of stream) chunks.push(chunk);
      expect(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('')).not.toBe('');
      expect(chunks.at(-1)?.usage?.completion_tokens).toBe(5);
    });

    it('completes text, whole and streamed', async () => {
      const whole = await client().completions.create({ model: 'alpha', prompt: 'hi', max_tokens: 3 });
      expect(whole.choices[0]?.text).not.toBe('');
      const stream = await client().completions.create({
        model: 'alpha',
        prompt: 'hi',
        max_tokens: 3,
        stream: true,
      });
      let text = '';
      for await (const chunk of stream) text += chunk.choices[0]?.text ?? '';
      expect(text).not.toBe('');
    });

    it('embeds', async () => {
      const { data } = await client().embeddings.create({
        model: 'alpha',
        input: ['one', 'two'],
        encoding_format: 'float',
      });
      expect(data).toHaveLength(2);
    });

    it('responds, whole and streamed', async () => {
      const whole = await client().responses.create({ model: 'alpha', input: 'hi', max_output_tokens: 3 });
      expect(whole.output_text).not.toBe('');
      const types = [];
      for await (const event of await client().responses.create({
        model: 'alpha',
        input: 'hi',
        stream: true,
      }))
        types.push(event.type);
      expect(types.at(-1)).toBe('response.completed');
    });

    it('lists and retrieves models, those with a slash in their name too', async () => {
      const ids = [];
      for await (const { id } of client().models.list()) ids.push(id);
      expect(ids.sort()).toEqual(['alpha:latest', SLASHED]);
      expect(await client().models.retrieve('alpha')).toMatchObject({ id: 'alpha', owned_by: 'library' });
      expect(await client().models.retrieve(SLASHED)).toMatchObject({ id: SLASHED, owned_by: 'team' });
      await expect(client().models.retrieve('nope')).rejects.toBeInstanceOf(NotFoundError);
    });

    it('G19: throws its typed errors', async () => {
      const create = (model: string) => client().chat.completions.create({ model, messages: MESSAGES });
      await expect(create('nope')).rejects.toBeInstanceOf(NotFoundError);
      await expect(create('nope')).rejects.toMatchObject({
        status: 404,
        message: "404 model 'nope' not found",
        code: 'model_not_found',
        type: 'not_found_error',
        param: null,
      });
      await expect(create('no model/')).rejects.toBeInstanceOf(BadRequestError);
      await expect(create('big:cloud')).rejects.toBeInstanceOf(PermissionDeniedError);
      await expect(client().files.list()).rejects.toBeInstanceOf(PermissionDeniedError);
      await expect(client().models.delete('alpha')).rejects.toMatchObject({ status: 405 });
    });

    it('F09: retries what is worth it, as often as it would with Ollama', async () => {
      for (const node of fleet.nodes) await node.setFault({ kind: 'reply', status: 503, message: 'busy' });
      const asked = client(1).chat.completions.create({ model: 'alpha', messages: MESSAGES });
      await expect(asked).rejects.toBeInstanceOf(InternalServerError);
      await expect(
        client(0).chat.completions.create({ model: 'alpha', messages: MESSAGES }),
      ).rejects.toMatchObject({
        status: 503,
        type: 'api_error',
      });
      // Two tries of the first client and one of the second, each over both nodes at most.
      expect(fleet.inference.length).toBeLessThanOrEqual(6);
    });

    it('F54: sees an answer that breaks off as broken, not as complete', async () => {
      for (const node of fleet.nodes) await node.setFault({ kind: 'die', afterBytes: 300, how: 'rst' });
      const read = async () => {
        const stream = await client().chat.completions.create({
          model: 'alpha',
          messages: MESSAGES,
          stream: true,
        });
        for await (const _ of stream);
      };
      await expect(read()).rejects.toThrow();
      await expect(read()).rejects.not.toBeInstanceOf(APIConnectionError);
    });
  });

  describe('the API of Anthropic', () => {
    const message = (body: object) =>
      fetch(`${warmpath.url}/v1/messages`, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'x-api-key': 'anything',
          'anthropic-version': '2023-06-01',
        },
        body: JSON.stringify({ max_tokens: 3, messages: MESSAGES, ...body }),
      });

    it('answers messages, whole and streamed', async () => {
      const whole = await message({ model: 'alpha' });
      expect(await whole.json()).toMatchObject({
        type: 'message',
        role: 'assistant',
        content: [{ type: 'text', text: expect.stringMatching(/./) }],
        usage: { output_tokens: 3 },
      });
      const streamed = await (await message({ model: 'alpha', stream: true })).text();
      const events = [...streamed.matchAll(/^event: (.*)$/gm)].map(([, name]) => name);
      expect(events[0]).toBe('message_start');
      expect(events.at(-1)).toBe('message_stop');
    });

    it('G19: refuses in its shape', async () => {
      const unknown = await message({ model: 'nope' });
      expect(unknown.status).toBe(404);
      expect(await unknown.json()).toEqual({
        type: 'error',
        error: { type: 'not_found_error', message: "model 'nope' not found" },
        request_id: expect.stringMatching(/^req_.+/),
      });
      const missing = await message({});
      expect(missing.status).toBe(400);
      expect(await missing.json()).toMatchObject({ type: 'error', error: { type: 'invalid_request_error' } });
    });
  });
});
