import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type SimulatedFleet, startFleet } from '../sim/fleet.ts';
import { realEnvoy } from '../support/envoy.ts';
import { post, send } from '../support/http-client.ts';
import { describeReal } from '../support/require-real.ts';
import { pause } from '../support/wait-for.ts';
import { type RunningWarmpath, startWarmpath } from '../support/warmpath.ts';
import { curl, realCurl } from './client/curl.ts';

const MESSAGES = [{ role: 'user', content: 'hi' }];
const ANY_FIELD = { prompt: 'hi', input: 'hi', messages: MESSAGES, max_tokens: 3, stream: false };

/** Other spellings of what may never reach a node; the data plane's own tests have many more. */
const FORBIDDEN: readonly (readonly [method: string, path: string])[] = [
  ['POST', '/api/pull'],
  ['POST', '/api/push'],
  ['POST', '/api/create'],
  ['POST', '/api/copy'],
  ['DELETE', '/api/delete'],
  ['POST', `/api/blobs/sha256:${'0'.repeat(64)}`],
  ['HEAD', `/api/blobs/sha256:${'0'.repeat(64)}`],
  ['POST', '/api/me'],
  ['POST', '/api/signout'],
  ['POST', '/api/experimental/web_fetch'],
  ['GET', '/api/status'],
  ['POST', '/v1/images/generations'],
  ['POST', '/v1/responses/compact'],
  ['POST', '//api/pull'],
  ['POST', '/api/./pull'],
  ['POST', '/api/x/../pull'],
  ['POST', '/%61pi/pull'],
  ['POST', '/api%2fpull'],
  ['POST', '/api/pull/'],
  ['POST', '/API/PULL'],
  ['POST', '/api/chat/../pull'],
  ['POST', '/api/pull;x=y'],
  ['POST', '/v1/models/..%2f..%2fapi%2fpull'],
  ['GET', '/v1/models/..%2f..%2fapi%2fpull'],
  ['GET', '/v1/models/..%5C..%5Cdebug'],
  ['GET', '/v1/models/x%2'],
  ['GET', '/debug/pprof/'],
];

const OLLAMA = (message: unknown) => ({ error: message });
const OPENAI = (message: unknown, type: string, code: string) => ({
  error: { message, type, param: null, code },
});
const ANTHROPIC = (message: unknown, type: string) => ({
  type: 'error',
  error: { type, message },
  request_id: expect.stringMatching(/^req_./),
});

describeReal(await realEnvoy(), 'refusals, as a client sees them', () => {
  describeReal(realCurl, 'with curl', () => {
    let fleet: SimulatedFleet;
    let warmpath: RunningWarmpath;

    beforeAll(async () => {
      const models = ['alpha', 'beta'].map((name) => ({ name, sizeBytes: 1e6 }));
      fleet = await startFleet(2, { models, timeScale: 100 });
      warmpath = await startWarmpath({
        nodes: fleet.specs,
        config: { origins: ['https://chat.example.com'], routing: { maxAttempts: 2 } },
      });
    });
    afterAll(async () => {
      await warmpath?.stop();
      await fleet?.close();
    });
    beforeEach(() => fleet.clearRequests());

    async function expectAllDenied(): Promise<void> {
      for (const [method, path] of FORBIDDEN) {
        const body = method === 'POST' ? ['-d', '{"model":"alpha","source":"alpha","destination":"x"}'] : [];
        const verb = method === 'HEAD' ? ['-I'] : ['-X', method];
        const answer = await curl([...verb, ...body, '--path-as-is', `${warmpath.url}${path}`]);
        expect(answer.status, `${method} ${path}`).toSatisfy((status) =>
          [403, 400, 404, 405].includes(status),
        );
        if (!/[%;]|\/\/|\.\/|\/$/.test(path)) expect(answer.status, `${method} ${path}`).toBe(403);
      }
      expect(fleet.forbidden).toEqual([]);
      for (const node of fleet.nodes) {
        expect(node.requests.filter(({ path }) => /%(2f|5c)/i.test(path))).toEqual([]);
        expect(node.requests.filter(({ method }) => method !== 'GET' && method !== 'HEAD')).toEqual([]);
      }
    }

    describe('G5 H04 H07: everything that is not listed', () => {
      it('is 403 while the control plane lives', expectAllDenied);

      it('is 403 while it is stopped', async () => {
        const { controlPlane } = warmpath.pids;
        process.kill(controlPlane, 'SIGSTOP');
        try {
          await expectAllDenied();
          const answer = await post(`${warmpath.url}/api/generate`, { model: 'alpha', ...ANY_FIELD });
          expect(answer.status, 'inference goes on').toBe(200);
        } finally {
          process.kill(controlPlane, 'SIGCONT');
        }
        await warmpath.waitUntilRouting();
      });

      it('F20: is 403 while it is dead, and inference and reads go on', async () => {
        const killing = { isOver: false };
        const killer = keepKilling(warmpath, killing);
        try {
          await pause(100);
          await expectAllDenied();
          fleet.clearRequests();
          for (let i = 0; i < 5; i++) {
            const answer = await post(`${warmpath.url}/api/generate`, { model: 'alpha', ...ANY_FIELD });
            expect(answer.status, answer.text).toBe(200);
          }
          expect((await send(`${warmpath.url}/api/tags`)).json()).toHaveProperty('models');
        } finally {
          killing.isOver = true;
          await killer;
        }
        await expect
          .poll(
            async () =>
              (await post(`${warmpath.url}/api/chat`, { model: 'nope' })).headers['x-warmpath-error'],
            {
              timeout: 20_000,
            },
          )
          .toBe('model_not_found');
      });
    });

    describe('S30: web pages', () => {
      it.each(['http://localhost:3000', 'https://chat.example.com', 'app://obsidian'])(
        '%s may call and read',
        async (origin) => {
          const answer = await curl(['-H', `Origin: ${origin}`, `${warmpath.url}/api/tags`]);
          expect(answer.status).toBe(200);
          expect(answer.headers.get('access-control-allow-origin')).toBe(origin);
          const preflight = await curl([
            '-X',
            'OPTIONS',
            ...['-H', `Origin: ${origin}`, '-H', 'Access-Control-Request-Method: POST'],
            `${warmpath.url}/api/chat`,
          ]);
          expect(preflight.status).toBe(204);
          expect(preflight.headers.get('access-control-allow-origin')).toBe(origin);
          expect(preflight.headers.get('access-control-allow-methods')).toContain('POST');
          expect(preflight.headers.get('access-control-allow-headers')).toContain('Content-Type');
        },
      );

      it.each(['http://evil.example', 'null', 'https://chat.example.com.evil.example'])(
        '%s may not, not even by a simple request',
        async (origin) => {
          const answer = await curl([
            ...['-H', `Origin: ${origin}`, '-H', 'Content-Type: text/plain'],
            ...['-d', '{"model":"alpha","prompt":"hi"}', `${warmpath.url}/api/generate`],
          ]);
          expect(answer.status).toBe(403);
          expect(answer.headers.has('access-control-allow-origin')).toBe(false);
          expect(fleet.inference).toEqual([]);
        },
      );

      it('a foreign Host on a loopback listener is refused', async () => {
        const answer = await curl(['-H', 'Host: rebound.example.com', `${warmpath.url}/api/tags`]);
        expect(answer.status).toBe(403);
      });
    });

    describe('G19: errors in the shape of the API that was called', () => {
      const unknown = "model 'nope' not found";
      const pullFirst = 'model "nope" not found, try pulling it first';
      it.each([
        { path: '/api/generate', want: OLLAMA(unknown) },
        { path: '/api/chat', want: OLLAMA(unknown) },
        { path: '/api/show', want: OLLAMA(unknown) },
        { path: '/api/embed', want: OLLAMA(pullFirst) },
        { path: '/api/embeddings', want: OLLAMA(pullFirst) },
        { path: '/v1/chat/completions', want: OPENAI(unknown, 'not_found_error', 'model_not_found') },
        { path: '/v1/completions', want: OPENAI(unknown, 'not_found_error', 'model_not_found') },
        { path: '/v1/embeddings', want: OPENAI(pullFirst, 'not_found_error', 'model_not_found') },
        { path: '/v1/responses', want: OPENAI(unknown, 'not_found_error', 'model_not_found') },
        { path: '/v1/messages', want: ANTHROPIC(unknown, 'not_found_error') },
      ])('$path: a model that no node has is 404', async ({ path, want }) => {
        const answer = await post(`${warmpath.url}${path}`, { model: 'nope', ...ANY_FIELD });
        expect(answer.status).toBe(404);
        expect(answer.json()).toEqual(want);
        expect(answer.headers['x-warmpath-error']).toBe('model_not_found');
        expect(answer.headers['content-type']).toMatch(/^application\/json/);
        expect(fleet.inference).toEqual([]);
        if (path.startsWith('/v1/messages')) return;
        // As Ollama words it: the simulated node is held against the real one elsewhere.
        const own = await post(`${fleet.node('n1').url}${path}`, { model: 'nope', ...ANY_FIELD });
        expect(JSON.stringify(answer.json())).toContain(JSON.stringify(messageOf(own.json())));
      });

      it.each([
        { path: '/api/chat', want: OLLAMA(expect.stringMatching(/./)) },
        {
          path: '/v1/chat/completions',
          want: OPENAI(expect.any(String), 'invalid_request_error', 'invalid_json'),
        },
        { path: '/v1/messages', want: ANTHROPIC(expect.any(String), 'invalid_request_error') },
      ])('$path: malformed JSON is 400', async ({ path, want }) => {
        const answer = await post(`${warmpath.url}${path}`, '{"model":"alpha",');
        expect([answer.status, answer.headers['x-warmpath-error']]).toEqual([400, 'invalid_json']);
        expect(answer.json()).toEqual(want);
      });

      it.each([
        { path: '/api/chat/x', want: OLLAMA('this path is not allowed here') },
        { path: '/v1/x', want: OPENAI('this path is not allowed here', 'api_error', 'not_allowed') },
        { path: '/v1/messages/x', want: ANTHROPIC('this path is not allowed here', 'permission_error') },
      ])('$path: what is not served is 403', async ({ path, want }) => {
        const answer = await post(`${warmpath.url}${path}`, {});
        expect([answer.status, answer.json()]).toEqual([403, want]);
      });

      it.each([
        { path: '/api/chat', want: OLLAMA(expect.any(String)) },
        { path: '/v1/chat/completions', want: OPENAI(expect.any(String), 'api_error', 'method_not_allowed') },
        { path: '/v1/messages', want: ANTHROPIC(expect.any(String), 'api_error') },
      ])('B33 $path: another method is 405 and says which is right', async ({ path, want }) => {
        const answer = await send(`${warmpath.url}${path}`, { method: 'DELETE' });
        expect([answer.status, answer.headers.allow, answer.json()]).toEqual([405, 'POST', want]);
      });
    });

    describe('no node can serve it now', () => {
      afterEach(async () => {
        for (const node of fleet.nodes) await node.setFault(undefined);
        for (const node of fleet.nodes) await node.start();
      });

      const SHAPES = [
        { path: '/api/chat', shape: (message: unknown) => OLLAMA(message) },
        {
          path: '/v1/chat/completions',
          shape: (message: unknown) => OPENAI(message, 'api_error', expect.any(String) as unknown as string),
        },
        { path: '/v1/messages', shape: (message: unknown) => ANTHROPIC(message, 'overloaded_error') },
      ];

      it('the answer of the last node tried comes back where all refuse', async () => {
        for (const node of fleet.nodes) await node.setFault({ kind: 'reply', status: 503, message: 'busy' });
        for (const { path } of SHAPES) {
          const answer = await post(`${warmpath.url}${path}`, { model: 'alpha', ...ANY_FIELD });
          expect(answer.status, answer.text).toBe(503);
          expect(JSON.stringify(answer.json())).toContain('busy');
          expect(answer.headers['retry-after']).toMatch(/^\d+$/);
        }
      });

      it.each(SHAPES)(
        '$path: a model that is known while all nodes are down is 503, with Retry-After',
        async ({ path, shape }) => {
          for (const node of fleet.nodes) node.kill();
          const answer = await post(`${warmpath.url}${path}`, { model: 'beta', ...ANY_FIELD });
          expect(answer.status, answer.text).toBe(503);
          expect(Number(answer.headers['retry-after'])).toBeGreaterThanOrEqual(1);
          expect(answer.json()).toEqual(shape(expect.stringMatching(/./)));
          expect(answer.text).not.toMatch(/127\.0\.0\.1|:\d{4}/);
          const unknown = await post(`${warmpath.url}${path}`, { model: 'nope', ...ANY_FIELD });
          expect(unknown.status).toBe(404);
        },
      );
    });
  });

  it('no node at all: 503 in the shape of the API, and reads are empty lists', async () => {
    const warmpath = await startWarmpath({ nodes: [], waitForNodes: false });
    try {
      expect(await warmpath.process.waitForOutput(/clients get 503 until there is one/)).toBeTruthy();
      for (const path of ['/api/generate', '/v1/completions', '/v1/messages']) {
        const answer = await post(`${warmpath.url}${path}`, { model: 'alpha', ...ANY_FIELD });
        expect([answer.status, Object.keys(answer.json() as object)[0]], answer.text).toEqual([
          503,
          path === '/v1/messages' ? 'type' : 'error',
        ]);
        expect(answer.headers['retry-after']).toMatch(/^\d+$/);
      }
      expect((await send(`${warmpath.url}/api/tags`)).json()).toEqual({ models: [] });
    } finally {
      await warmpath.stop();
    }
  });
});

/** SIGKILL to every control plane that the supervisor starts, as soon as it is there. */
async function keepKilling(warmpath: RunningWarmpath, state: { isOver: boolean }): Promise<void> {
  let last = 0;
  while (!state.isOver) {
    try {
      const { controlPlane } = warmpath.pids;
      if (controlPlane !== last) process.kill(controlPlane, 'SIGKILL');
      last = controlPlane;
    } catch {
      // None is running now.
    }
    await pause(2);
  }
}

function messageOf(error: unknown): unknown {
  const inner = typeof error === 'object' && error !== null && 'error' in error ? error.error : error;
  return typeof inner === 'object' && inner !== null && 'message' in inner ? inner.message : inner;
}
