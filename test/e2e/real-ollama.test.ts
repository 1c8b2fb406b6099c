import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { realEnvoy } from '../support/envoy.ts';
import { type Answer, post, send } from '../support/http-client.ts';
import { type RealOllama, realOllama, startRealOllama } from '../support/ollama.ts';
import { describeReal } from '../support/require-real.ts';
import { spawnProcess } from '../support/spawn-process.ts';
import { waitFor } from '../support/wait-for.ts';
import { type RunningWarmpath, startWarmpath } from '../support/warmpath.ts';

const MESSAGES = [{ role: 'user', content: 'hi' }];
const THREE = { num_predict: 3 };

describeReal(await realEnvoy(), 'with Envoy', () => {
  describeReal(realOllama(), 'two real Ollama servers', (path) => {
    let first: RealOllama;
    let second: RealOllama;
    let warmpath: RunningWarmpath;

    beforeAll(async () => {
      first = await startRealOllama({ path, models: ['alpha', 'beta', 'stale', 'both'] });
      second = await startRealOllama({ path, models: ['alpha', 'beta', 'stale', 'both', 'only-two'] });
      warmpath = await startWarmpath({
        nodes: [
          { name: 'one', url: first.url },
          { name: 'two', url: second.url },
        ],
        // Long, so that a deleted model stays in the list until a request finds out.
        config: { poll: { tagsInterval: '60s', interval: '500ms' } },
      });
    });
    afterAll(async () => {
      await warmpath?.stop();
      await first?.stop();
      await second?.stop();
    });

    const generate = (model: string, more: object = {}) =>
      post(`${warmpath.url}/api/generate`, {
        model,
        prompt: 'hello there',
        stream: false,
        options: THREE,
        ...more,
      });
    const nodeOf = (answer: Answer) => answer.headers['x-warmpath-node'];
    const nodeNamed = async (name: string) =>
      (await warmpath.status()).nodes.find((node) => node.name === name);
    const outcomeOf = (answer: Answer) =>
      waitFor('the outcome', async () => {
        const { decisions } = await warmpath.status();
        return decisions.find(({ id }) => id === answer.headers['x-warmpath-decision'])?.outcome as
          | Record<string, unknown>
          | undefined;
      });

    it('the second request for a model goes to the node that has it warm', async () => {
      for (const model of ['alpha', 'beta']) {
        const cold = await generate(model);
        expect(cold.status, cold.text).toBe(200);
        const home = String(nodeOf(cold));
        await waitFor(`${model} to be warm`, async () =>
          (await nodeNamed(home))?.warm.some(({ name }) => name === `${model}:latest`),
        );
        for (let i = 0; i < 5; i++) expect(nodeOf(await generate(model))).toBe(home);
        // Any API, any spelling: one model.
        const chat = await post(`${warmpath.url}/v1/chat/completions`, {
          model: model.toUpperCase(),
          messages: MESSAGES,
          max_tokens: 3,
        });
        expect([chat.status, nodeOf(chat)], chat.text).toEqual([200, home]);
        const loaded = [first, second].map(async ({ url }) =>
          JSON.stringify((await send(`${url}/api/ps`)).json()).includes(`"${model}:latest"`),
        );
        expect((await Promise.all(loaded)).filter(Boolean), 'loaded once').toHaveLength(1);
      }
    });

    it('a model that only one node has is found there', async () => {
      const answer = await generate('only-two');
      expect([answer.status, nodeOf(answer)], answer.text).toEqual([200, 'two']);
    });

    it('token counts and durations arrive in the decisions', async () => {
      for (const body of [{ stream: false }, { stream: true }]) {
        const answer = await generate('alpha', body);
        const last = answer.lines().at(-1) as Record<string, number>;
        expect(await outcomeOf(answer)).toMatchObject({
          status: 200,
          end: 'complete',
          attempts: 1,
          usage: {
            promptTokens: last.prompt_eval_count,
            completionTokens: 3,
            totalMs: expect.closeTo((last.total_duration ?? 0) / 1e6, 1),
            loadMs: expect.closeTo((last.load_duration ?? 0) / 1e6, 1),
            evalMs: expect.closeTo((last.eval_duration ?? 0) / 1e6, 1),
            sawError: false,
          },
        });
      }
      const chat = { model: 'alpha', messages: MESSAGES, max_tokens: 3 };
      const openAi = await post(`${warmpath.url}/v1/chat/completions`, chat);
      expect(await outcomeOf(openAi)).toMatchObject({ usage: { completionTokens: 3 } });
      const anthropic = await post(`${warmpath.url}/v1/messages`, chat);
      expect(await outcomeOf(anthropic)).toMatchObject({ end: 'complete', usage: { completionTokens: 3 } });
    });

    it.each([
      { path: '/api/generate', body: { prompt: 'hi', options: THREE } },
      { path: '/api/generate', body: { prompt: 'hi', options: THREE, stream: false } },
      { path: '/api/chat', body: { messages: MESSAGES, options: THREE } },
      { path: '/api/chat', body: { messages: MESSAGES, options: THREE, stream: false } },
      { path: '/api/embed', body: { input: ['one', 'two'] } },
      { path: '/api/embeddings', body: { prompt: 'one' } },
      { path: '/api/show', body: {} },
      { path: '/v1/chat/completions', body: { messages: MESSAGES, max_tokens: 3 } },
      {
        path: '/v1/chat/completions',
        body: { messages: MESSAGES, max_tokens: 3, stream: true, stream_options: { include_usage: true } },
      },
      { path: '/v1/completions', body: { prompt: 'hi', max_tokens: 3 } },
      { path: '/v1/embeddings', body: { input: 'one' } },
      { path: '/v1/responses', body: { input: 'hi', max_output_tokens: 3 } },
      { path: '/v1/messages', body: { messages: MESSAGES, max_tokens: 3 } },
      { path: '/v1/messages', body: { messages: MESSAGES, max_tokens: 3, stream: true } },
      { path: '/api/generate', body: { prompt: 'hi', keep_alive: 'soon' } },
      { path: '/api/generate', body: { prompt: 'hi', options: { num_ctx: 'many' } } },
      { path: '/v1/chat/completions', body: { messages: [] } },
    ])('G18: $path $body answers as Ollama itself does', async ({ path: api, body }) => {
      const request = { model: 'alpha', ...body };
      const [through, direct] = [
        await post(`${warmpath.url}${api}`, request),
        await post(`${first.url}${api}`, request),
      ];
      expect(through.status, through.text).toBe(direct.status);
      expect(through.headers['content-type']).toBe(direct.headers['content-type']);
      expect(shapeOf(through)).toEqual(shapeOf(direct));
    });

    it.each([
      '/',
      '/api/version',
      '/api/tags',
      '/api/ps',
      '/v1/models',
      '/v1/models/alpha',
      '/v1/models/nope',
    ])('GET %s has the shape of Ollama', async (read) => {
      await post(`${first.url}/api/generate`, { model: 'both' });
      const [through, direct] = [await send(`${warmpath.url}${read}`), await send(`${first.url}${read}`)];
      expect(through.status).toBe(direct.status);
      if (direct.status === 200) expect(through.headers['content-type']).toBe(direct.headers['content-type']);
      expect(shapeOf(through)).toEqual(shapeOf(direct));
    });

    describe('the ollama command line, pointed at our port', () => {
      const cli = async (...args: string[]) => {
        const env = { ...first.cliEnv, OLLAMA_HOST: warmpath.url.replace('http://', ''), NO_COLOR: '1' };
        const run = spawnProcess(path, args, { env });
        const { code } = await run.exited;
        return { code, output: run.output };
      };

      it('lists, shows and tells what is loaded', async () => {
        const list = await cli('list');
        expect(list.code, list.output).toBe(0);
        for (const model of ['alpha:latest', 'only-two:latest']) {
          expect(list.output.split(model)).toHaveLength(2);
        }
        const ps = await cli('ps');
        expect([ps.code, ps.output]).toEqual([0, expect.stringContaining('alpha:latest')]);
        const show = await cli('show', 'only-two');
        expect([show.code, show.output]).toEqual([0, expect.stringContaining('llama')]);
        expect((await cli('--version')).output).toContain('0.');
      });

      it('runs a model', async () => {
        const run = await cli('run', 'alpha', 'say something');
        expect(run.code, run.output).toBe(0);
        expect(run.output.trim()).not.toBe('');
      });

      it('G19: says of an unknown model and of what is forbidden what it says of Ollama', async () => {
        const show = await cli('show', 'nope');
        expect([show.code, show.output]).toEqual([1, expect.stringContaining("model 'nope' not found")]);
        const remove = await cli('rm', 'alpha');
        expect(remove.code).not.toBe(0);
        const stillThere = await send(`${first.url}/api/show`, { method: 'POST', body: { model: 'alpha' } });
        expect(stillThere.status).toBe(200);
      });
    });

    it('F59: a model deleted behind our back is served by the node that still has it', async () => {
      for (const { url } of [first]) {
        const gone = await send(`${url}/api/delete`, { method: 'DELETE', body: { model: 'stale' } });
        expect(gone.status).toBe(200);
      }
      // Which node is asked first is a matter of chance; the answer is not.
      for (let i = 0; i < 6; i++) {
        const answer = await generate('stale', { keep_alive: 0 });
        expect([answer.status, nodeOf(answer)], answer.text).toEqual([200, 'two']);
      }
    });

    it('a killed runner costs an error at most, and the next request is served', async () => {
      expect((await generate('alpha')).status).toBe(200);
      first.killRunners();
      second.killRunners();
      const answer = await generate('alpha');
      expect(answer.status, answer.text).toBe(200);
    });

    it('F50: a node that is killed is replaced by the other at once', { timeout: 60_000 }, async () => {
      const home = String(nodeOf(await generate('both')));
      const victim = home === 'one' ? first : second;
      await victim.kill();
      for (let i = 0; i < 5; i++) {
        const answer = await generate('both');
        expect(answer.status, answer.text).toBe(200);
        expect(nodeOf(answer)).toBe(home === 'one' ? 'two' : 'one');
      }
      // It served a moment ago: refused polls alone make it suspect at once, and down only some seconds later.
      const isDown = async () => (await nodeNamed(home))?.status === 'down';
      await waitFor('the node to be down', isDown, { timeoutMs: 30_000 });
    });
  });
});

/** Every key and the kinds of the values; what differs from call to call is left out. */
function shapeOf(answer: Answer): unknown {
  const type = String(answer.headers['content-type']);
  if (type.includes('event-stream'))
    return answer.events().map((data) => (data.startsWith('{') ? shape(data) : data));
  if (type.includes('ndjson')) return answer.lines().map((line) => shape(JSON.stringify(line)));
  return answer.text.startsWith('{') ? shape(answer.text) : answer.text;
}

function shape(json: string): unknown {
  return walk(JSON.parse(json));
}

function walk(value: unknown): unknown {
  if (Array.isArray(value)) return value.length === 0 ? [] : [walk(value[0])];
  if (typeof value !== 'object' || value === null) return value === null ? null : typeof value;
  return Object.fromEntries(
    Object.entries(value)
      // OpenAI's errors carry our machine code where Ollama has null; a runner says how long it took only if it did.
      .filter(([key]) => key !== 'code' && key !== 'text')
      .map(([key, inner]) => [key, walk(inner)]),
  );
}
