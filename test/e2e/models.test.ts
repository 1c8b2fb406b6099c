import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type SimulatedFleet, startFleet } from '../sim/fleet.ts';
import { realEnvoy } from '../support/envoy.ts';
import { type Answer, post, send } from '../support/http-client.ts';
import { type RealOllama, realOllama, startRealOllama } from '../support/ollama.ts';
import { describeReal } from '../support/require-real.ts';
import { waitFor } from '../support/wait-for.ts';
import { type RunningWarmpath, startWarmpath } from '../support/warmpath.ts';

const MESSAGES = [{ role: 'user', content: 'hi' }];
const THREE = { num_predict: 3 };
const TOOLS = [{ type: 'function', function: { name: 'f', parameters: { type: 'object', properties: {} } } }];
const PIXEL =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
const KEY = 'the-key-of-the-admin';

describeReal(await realEnvoy(), 'with Envoy', () => {
  describe('two nodes of unlike models', () => {
    let fleet: SimulatedFleet;
    let warmpath: RunningWarmpath;

    beforeAll(async () => {
      const model = (name: string, capabilities: string[]) => ({ name, sizeBytes: 1e6, capabilities });
      const writer = model('writer', ['completion']);
      fleet = await startFleet(2, { models: [writer], timeScale: 100 }, (index) =>
        index === 0
          ? { models: [writer, model('tooler', ['completion', 'tools'])] }
          : { models: [writer, model('seer', ['completion', 'vision']), model('embedder', ['embedding'])] },
      );
      warmpath = await startWarmpath({
        nodes: fleet.specs,
        config: {
          models: {
            'gpt-4o': ['gone', 'writer', 'tooler', 'seer'],
            'text-embedding-3-small': 'embedder',
            nothing: 'gone',
          },
          clients: [{ name: 'admin', key: KEY, privileged: true }],
          rewrites: { preloadsPerMinute: 2, keepAliveMin: '1m', runnerOptions: 'strip' },
        },
      });
      await waitFor(
        'what models can do',
        async () => (await chat('writer', { tools: TOOLS })).status === 400,
      );
    });
    afterAll(async () => {
      await warmpath?.stop();
      await fleet?.close();
    });
    beforeEach(() => fleet.clearRequests());

    const headers = { authorization: `Bearer ${KEY}` };
    const chat = (model: string, more: object = {}, options = {}): Promise<Answer> =>
      post(
        `${warmpath.url}/api/chat`,
        { model, messages: MESSAGES, stream: false, options: THREE, ...more },
        options,
      );
    const served = () => fleet.inference.map(({ model, node }) => `${node} ${model}`);

    it.each([
      { path: '/api/chat', body: { messages: MESSAGES, stream: false, options: THREE } },
      { path: '/api/generate', body: { prompt: 'hi', stream: false, options: THREE } },
      { path: '/v1/chat/completions', body: { messages: MESSAGES, max_tokens: 3 } },
      { path: '/v1/completions', body: { prompt: 'hi', max_tokens: 3 } },
      { path: '/v1/messages', body: { messages: MESSAGES, max_tokens: 3 } },
      { path: '/v1/responses', body: { input: 'hi', max_output_tokens: 3 } },
      { path: '/api/show', body: {} },
    ])('an alias is served by its first model that there is: $path', async ({ path, body }) => {
      const answer = await post(`${warmpath.url}${path}`, { model: 'GPT-4o', ...body });
      expect(answer.status, answer.text).toBe(200);
      expect(served()).toEqual([expect.stringMatching(/^n[12] writer$/)]);
    });

    it('an alias is served by a model that can do what is asked', async () => {
      expect((await chat('gpt-4o', { tools: TOOLS })).status).toBe(200);
      const pictures = [{ role: 'user', content: 'hi', images: [PIXEL] }];
      expect((await chat('gpt-4o', { messages: pictures })).status).toBe(200);
      expect(served()).toEqual(['n1 tooler', 'n2 seer']);
    });

    it('an alias of embeddings embeds', async () => {
      const answer = await post(`${warmpath.url}/v1/embeddings`, {
        model: 'text-embedding-3-small',
        input: 'hi',
      });
      expect(answer.status, answer.text).toBe(200);
      expect(served()).toEqual(['n2 embedder']);
    });

    it("the request's own fallbacks come next", async () => {
      expect((await chat('nowhere', { fallback_models: ['also-nowhere', 'tooler'] })).status).toBe(200);
      expect((await chat('writer', { fallback_models: ['tooler'], tools: TOOLS })).status).toBe(200);
      expect(served()).toEqual(['n1 tooler', 'n1 tooler']);
    });

    it.each([
      { name: 'tools', model: 'writer', body: { tools: TOOLS }, says: '"writer" does not support tools' },
      {
        name: 'images',
        model: 'writer',
        body: { messages: [{ role: 'user', content: 'hi', images: [PIXEL] }] },
        says: '"writer" does not support vision',
      },
      { name: 'a chat', model: 'embedder', body: {}, says: '"embedder" does not support chat' },
    ])('what no model can do is refused before a node sees it: $name', async ({ model, body, says }) => {
      const answer = await chat(model, body);
      expect([answer.status, answer.json()]).toEqual([400, { error: says }]);
      expect(served()).toEqual([]);
    });

    it('an alias of which no model is there is not found, under its own name', async () => {
      const answer = await chat('nothing');
      expect([answer.status, answer.json()]).toEqual([404, { error: "model 'nothing' not found" }]);
      const both = await chat('nothing', { fallback_models: ['nowhere'] });
      expect([both.status, both.json()]).toEqual([404, { error: "model 'nothing' not found" }]);
    });

    it('lists show aliases of models that there are', async () => {
      const { models } = (await send(`${warmpath.url}/api/tags`)).json() as { models: { name: string }[] };
      const { data } = (await send(`${warmpath.url}/v1/models`)).json() as { data: { id: string }[] };
      const names = ['embedder:latest', 'gpt-4o', 'seer:latest', 'text-embedding-3-small', 'tooler:latest'];
      expect(models.map(({ name }) => name).sort()).toEqual([...names, 'writer:latest']);
      expect(data.map(({ id }) => id).sort()).toEqual([...names, 'writer:latest']);
      expect((await send(`${warmpath.url}/v1/models/gpt-4o`)).json()).toMatchObject({ id: 'gpt-4o' });
      expect((await send(`${warmpath.url}/v1/models/nothing`)).status).toBe(404);
    });

    it('nobody unloads a model without the key (B36)', async () => {
      const resident = async (): Promise<unknown> =>
        ((await send(`${warmpath.url}/api/ps`)).json() as { models: { name: string }[] }).models.map(
          ({ name }) => name,
        );
      await chat('writer');
      await waitFor('the model to be seen', async () => String(await resident()).includes('writer'));
      const unload = (options = {}) =>
        post(`${warmpath.url}/api/generate`, { model: 'writer', keep_alive: 0 }, options);
      const refused = await unload();
      expect(refused.status).toBe(403);
      expect(refused.headers['x-warmpath-error']).toBe('not_privileged');
      expect((await unload({ headers: { authorization: 'Bearer some-other-key-here' } })).status).toBe(403);
      expect((await chat('writer', { keep_alive: 0 })).status).toBe(200);
      for (const node of fleet.nodes) {
        const { models } = (await send(`${node.url}/api/ps`)).json() as { models: { name: string }[] };
        if (served().some((each) => each.startsWith(node.name))) expect(models.length).toBeGreaterThan(0);
      }
      expect((await unload({ headers })).json()).toMatchObject({ done_reason: 'unload' });
    });

    it('a node never sees the key of a client', () => {
      for (const node of fleet.nodes)
        for (const { headers: sent } of node.requests) expect(JSON.stringify(sent)).not.toContain(KEY);
    });

    it('preloads are limited, but not for the privileged (B37)', async () => {
      const preload = (options = {}) => post(`${warmpath.url}/api/generate`, { model: 'writer' }, options);
      const answers = [await preload(), await preload(), await preload()];
      expect(answers.map(({ status }) => status)).toEqual([200, 200, 429]);
      expect(Number(answers[2]?.headers['retry-after'])).toBeGreaterThan(0);
      for (let i = 0; i < 3; i++) expect((await preload({ headers })).status).toBe(200);
    });

    it('counts what it changed, by kind', async () => {
      const before = await warmpath.metric('warmpath_rewrites_total', { kind: 'option_stripped' });
      await chat('gpt-4o', { options: { ...THREE, num_gpu: 0 } });
      expect(await warmpath.metric('warmpath_rewrites_total', { kind: 'option_stripped' })).toBe(before + 1);
      expect(await warmpath.metric('warmpath_rewrites_total', { kind: 'alias' })).toBeGreaterThan(0);
    });
  });

  describeReal(realOllama(), 'two apps with contexts of their own on one real Ollama', (path) => {
    let ollama: RealOllama;
    const running: RunningWarmpath[] = [];

    beforeAll(async () => {
      ollama = await startRealOllama({ path, models: ['alpha'] });
    });
    afterAll(async () => {
      for (const each of running) await each.stop();
      await ollama?.stop();
    });

    /** A control plane in front of the server, and what its clients do. */
    async function starting(rewrites: object) {
      const warmpath = await startWarmpath({
        nodes: [{ name: 'one', url: ollama.url }],
        config: { rewrites, poll: { interval: '200ms' } },
      });
      running.push(warmpath);
      /** Ollama logs each process that it starts for a model. */
      const starts = (): number => ollama.output.split('starting go runner').length - 1;
      /** Whether the request made the model load. */
      const ask = async (numCtx?: number): Promise<boolean> => {
        const before = starts();
        const answer = await post(`${warmpath.url}/api/generate`, {
          model: 'alpha',
          prompt: 'hello there',
          stream: false,
          options: numCtx === undefined ? THREE : { ...THREE, num_ctx: numCtx },
        });
        expect(answer.status, answer.text).toBe(200);
        return starts() > before;
      };
      const contextIs = (wanted: number) =>
        waitFor('the context to be seen', async () => {
          const { nodes } = await warmpath.status();
          return JSON.stringify(nodes).includes(`"contextLength":${wanted}`);
        });
      return { warmpath, ask, contextIs };
    }

    /** Two apps take turns; how many of their requests made the model load again. */
    async function reloads(rewrites: object): Promise<{ loads: number; warmpath: RunningWarmpath }> {
      const { warmpath, ask, contextIs } = await starting(rewrites);
      await ask(4096);
      await contextIs(4096);
      let loads = 0;
      for (let turn = 0; turn < 6; turn++) {
        const numCtx = turn % 2 === 0 ? 2048 : 4096;
        if (await ask(numCtx)) {
          loads += 1;
          await contextIs(numCtx);
        }
      }
      return { loads, warmpath };
    }

    it('cause no reload where contexts are pinned, and each is counted', async () => {
      const { loads, warmpath } = await reloads({ numCtx: 'pin' });
      expect(loads).toBe(0);
      expect(await warmpath.metric('warmpath_reloads_avoided_total')).toBe(3);
    });

    it('cause none either where one of them names no context, once the default is known', async () => {
      const { ask, contextIs } = await starting({ numCtx: 'pin' });
      await ask(8192);
      await contextIs(8192);
      // Nobody knows yet what the default is: this one shows it.
      expect(await ask()).toBe(true);
      await contextIs(4096);
      await ask();
      expect(await ask(8192)).toBe(true);
      await contextIs(8192);
      for (let turn = 0; turn < 3; turn++) expect([await ask(), await ask(8192)]).toEqual([false, false]);
    });

    it('cause one at every turn where they are not', async () => {
      const { loads, warmpath } = await reloads({ numCtx: 'off' });
      expect(loads).toBe(6);
      expect(await warmpath.metric('warmpath_reloads_avoided_total')).toBe(0);
    });
  });
});
