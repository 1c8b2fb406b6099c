import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { type SimulatedFleet, startFleet } from '../sim/fleet.ts';
import { realEnvoy } from '../support/envoy.ts';
import { connectRaw, post, rawRequest, send } from '../support/http-client.ts';
import { describeReal } from '../support/require-real.ts';
import { type TempDir, tempDir } from '../support/temp-dir.ts';
import { type RunningWarmpath, startWarmpath } from '../support/warmpath.ts';
import { curl, curlAll, realCurl, sha256 } from './client/curl.ts';

const MIB = 1024 * 1024;
const LIMIT = 64 * MIB;
const MESSAGES = [{ role: 'user', content: 'hi' }];
const JSON_TYPE = 'content-type: application/json';

/** One request to each inference path, and what tells an answer of it from any other. */
const CALLS = [
  { path: '/api/generate', body: { prompt: 'hi', options: { num_predict: 3 } }, key: 'response' },
  { path: '/api/chat', body: { messages: MESSAGES, options: { num_predict: 3 } }, key: 'message' },
  { path: '/v1/chat/completions', body: { messages: MESSAGES, max_tokens: 3 }, key: 'choices' },
  { path: '/v1/completions', body: { prompt: 'hi', max_tokens: 3 }, key: 'choices' },
  { path: '/v1/responses', body: { input: 'hi', max_output_tokens: 3 }, key: 'output' },
  { path: '/v1/messages', body: { messages: MESSAGES, max_tokens: 3 }, key: 'content' },
] as const;
const UNSTREAMED = [
  { path: '/api/embed', body: { input: ['one', 'two'] }, key: 'embeddings' },
  { path: '/api/embeddings', body: { prompt: 'one' }, key: 'embedding' },
  { path: '/v1/embeddings', body: { input: 'one' }, key: 'data' },
  { path: '/api/show', body: {}, key: 'details' },
] as const;

describeReal(await realEnvoy(), 'inference, as a client sees it', () => {
  describeReal(realCurl, 'with curl', () => {
    let fleet: SimulatedFleet;
    let warmpath: RunningWarmpath;
    let dir: TempDir;

    beforeAll(async () => {
      dir = tempDir('wp-bodies-');
      mkdirSync(dir.path, { recursive: true });
      fleet = await startFleet(2, { models: [{ name: 'alpha', sizeBytes: 1e6 }], timeScale: 100 });
      warmpath = await startWarmpath({ nodes: fleet.specs });
    });
    afterAll(async () => {
      await warmpath?.stop();
      await fleet?.close();
      dir?.remove();
    });
    beforeEach(async () => {
      for (const node of fleet.nodes) await node.setFault(undefined);
      fleet.clearRequests();
    });

    const postJson = (path: string, body: unknown, ...args: string[]) =>
      curl([...args, '-H', JSON_TYPE, '--data-binary', '@-', `${warmpath.url}${path}`], JSON.stringify(body));

    it.each([...CALLS, ...UNSTREAMED])('$path answers whole', async ({ path, body, key }) => {
      const answer = await postJson(path, { model: 'alpha', ...body, stream: false });
      expect(answer.status, answer.text).toBe(200);
      expect(answer.json()).toHaveProperty(key);
      expect(answer.headers.get('content-type')).toMatch(/^application\/json/);
      expect(answer.headers.get('x-warmpath-node')).toMatch(/^n[12]$/);
      expect(answer.headers.get('x-warmpath-attempts')).toBe('1');
      expect(answer.headers.get('x-warmpath-decision')).toMatch(/^\S+-\w+$/);
      expect(fleet.inference).toHaveLength(1);
    });

    it.each(CALLS)('$path streams, each piece as the node writes it', async ({ path, body }) => {
      const isOllama = path.startsWith('/api/');
      const answer = await post(`${warmpath.url}${path}`, { model: 'alpha', ...body, stream: true });
      expect(answer.status, answer.text).toBe(200);
      expect(answer.isComplete).toBe(true);
      expect(answer.headers['content-type']).toMatch(
        isOllama ? /^application\/x-ndjson/ : /^text\/event-stream/,
      );
      if (isOllama) expect(answer.lines().at(-1)).toMatchObject({ done: true, eval_count: 3 });
      else expect(answer.events().length).toBeGreaterThan(3);
      if (path.includes('completions')) expect(answer.events().at(-1)).toBe('[DONE]');
    });

    it('streams a line at a time, not at the end', async () => {
      const model = { name: 'slow', sizeBytes: 1e6 };
      const slow = await startFleet(1, { models: [model], tokensPerSecond: 20 });
      const other = await startWarmpath({ nodes: slow.specs });
      try {
        const body = { model: 'slow', prompt: 'hi', options: { num_predict: 10 } };
        const answer = await post(`${other.url}/api/generate`, body);
        expect(answer.status, answer.text).toBe(200);
        const times = answer.chunks.map(({ atMs }) => atMs);
        expect(times.length).toBeGreaterThanOrEqual(10);
        // Ten tokens take half a second: what is gathered up would arrive within a few ms.
        expect((times.at(-1) ?? 0) - (times[0] ?? 0)).toBeGreaterThan(300);
      } finally {
        await other.stop();
        await slow.close();
      }
    });

    it.each([
      300,
      1024,
      32 * 1024,
      220_000,
      MIB - 1,
      MIB,
      MIB + 1,
      2 * MIB,
      4 * MIB - 1,
      4 * MIB,
      4 * MIB + 1,
      5 * MIB,
      8 * MIB,
    ])('B21 B22 G18: a body of %i bytes arrives byte for byte, and so does the answer', async (size) => {
      const body = sized(size, '/api/chat');
      const reply = answerOf(size);
      for (const node of fleet.nodes) await node.setFault({ kind: 'reply', status: 200, body: reply });
      const file = join(dir.path, 'body');
      writeFileSync(file, body);
      for (const framing of [[], ['-H', 'Transfer-Encoding: chunked']]) {
        fleet.clearRequests();
        const answer = await curl([
          ...framing,
          '-H',
          JSON_TYPE,
          '--data-binary',
          `@${file}`,
          `${warmpath.url}/api/chat`,
        ]);
        expect(answer.status, answer.text.slice(0, 300)).toBe(200);
        expect(sha256(answer.body)).toBe(sha256(reply));
        expect(fleet.inference.map((request) => request.bodySha256)).toEqual([sha256(body)]);
        expect(answer.headers.get('x-warmpath-decision')).toBeTruthy();
      }
    });

    it.each([
      { path: '/api/chat', shape: { error: expect.stringContaining('64 MiB') } },
      {
        path: '/v1/chat/completions',
        shape: {
          error: { message: expect.any(String), type: 'api_error', param: null, code: 'body_too_large' },
        },
      },
      {
        path: '/v1/messages',
        shape: {
          type: 'error',
          error: { type: 'request_too_large', message: expect.any(String) },
          request_id: expect.stringMatching(/^req_./),
        },
      },
    ])('B20: $path takes the whole 64 MiB and not one byte more', async ({ path, shape }) => {
      for (const node of fleet.nodes) await node.setFault({ kind: 'reply', status: 200, body: '{"ok":1}' });
      const file = join(dir.path, 'large');
      for (const bytes of [LIMIT - 1, LIMIT]) {
        const whole = sized(bytes, path);
        writeFileSync(file, whole);
        const taken = await curl(['-H', JSON_TYPE, '-T', file, '-X', 'POST', `${warmpath.url}${path}`]);
        expect(taken.status, taken.text.slice(0, 300)).toBe(200);
        expect(fleet.inference.map((request) => request.bodySha256)).toEqual([sha256(whole)]);
        fleet.clearRequests();
      }

      writeFileSync(file, sized(LIMIT + 1, path));
      const refused = await curl(['-H', JSON_TYPE, '-T', file, '-X', 'POST', `${warmpath.url}${path}`]);
      expect(refused.status).toBe(413);
      expect(refused.json()).toEqual(shape);
      expect(fleet.inference).toEqual([]);
    });

    it('errors of the node come back byte for byte', async () => {
      const body = '{"error":"option \\"num_ctx\\" must be of type integer", "x" : 1}\n';
      for (const node of fleet.nodes) {
        await node.setFault({ kind: 'reply', status: 422, body, contentType: 'application/json; x=y' });
      }
      const answer = await postJson('/api/chat', { model: 'alpha', messages: MESSAGES });
      expect([answer.status, answer.text]).toEqual([422, body]);
      expect(answer.headers.get('content-type')).toBe('application/json; x=y');
      expect(fleet.inference).toHaveLength(1);
    });

    it('B30: Expect: 100-continue is answered before the body is sent', async () => {
      const body = { model: 'alpha', prompt: 'x'.repeat(5000), stream: false };
      const answer = await postJson('/api/generate', body, '-H', 'Expect: 100-continue');
      expect(answer.interim).toEqual([100]);
      expect(answer.status).toBe(200);
    });

    it('B28: a compressed body is refused, not guessed at', async () => {
      const body = gzipSync(JSON.stringify({ model: 'alpha', prompt: 'hi' }));
      const args = ['-H', JSON_TYPE, '-H', 'Content-Encoding: gzip', '--data-binary', '@-'];
      const answer = await curl([...args, `${warmpath.url}/v1/completions`], body);
      expect(answer.status).toBe(415);
      expect(answer.json()).toMatchObject({ error: { code: 'unsupported_encoding' } });
      expect(fleet.inference).toEqual([]);
    });

    it('H14: no answer is compressed, whatever the client would take', async () => {
      const answer = await postJson(
        '/api/generate',
        { model: 'alpha', prompt: 'hi', stream: false },
        '-H',
        'Accept-Encoding: gzip, br, zstd',
      );
      expect(answer.headers.has('content-encoding')).toBe(false);
      expect(answer.json()).toMatchObject({ done: true });
    });

    it('HTTP/2 with prior knowledge serves whole and streamed answers', async () => {
      const body = { model: 'alpha', prompt: 'hi', options: { num_predict: 3 } };
      const streamed = await postJson('/api/generate', body, '--http2-prior-knowledge');
      expect([streamed.version, streamed.status]).toEqual(['2', 200]);
      const lines = streamed.text.trim().split('\n');
      expect(JSON.parse(lines.at(-1) ?? '')).toMatchObject({ done: true });
      const whole = await postJson('/api/generate', { ...body, stream: false }, '--http2-prior-knowledge');
      expect([whole.version, whole.status]).toEqual(['2', 200]);
      const read = await curl(['--http2-prior-knowledge', `${warmpath.url}/api/tags`]);
      expect([read.version, read.status]).toEqual(['2', 200]);
    });

    it('HTTP/1.0 is served', async () => {
      const body = { model: 'alpha', prompt: 'hi', stream: false };
      const answer = await postJson('/api/generate', body, '--http1.0');
      expect(answer.status, answer.text).toBe(200);
      expect(answer.json()).toMatchObject({ done: true });
    });

    // Go's server, and so Ollama, takes the end of the client's bytes for its end as well.
    it('F07: a client that closes its sending side is gone, and the node is free again', async () => {
      for (const node of fleet.nodes) await node.setFault({ kind: 'hang_before_token' });
      const connection = await connectRaw(warmpath.url);
      const body = JSON.stringify({ model: 'alpha', prompt: 'hi' });
      connection.write(rawRequest('POST', '/api/generate', { body }));
      await expect.poll(() => fleet.nodes.some((node) => node.stats().running === 1)).toBe(true);
      connection.halfClose();
      await connection.closed;
      await expect.poll(() => fleet.nodes.every((node) => node.stats().running === 0)).toBe(true);
      expect(fleet.inference).toHaveLength(1);
    });

    it('F08: a connection serves on after errors, or the answer says that it closes', async () => {
      const to = (path: string, body: string) => ['-H', JSON_TYPE, '-d', body, `${warmpath.url}${path}`];
      const good = to('/api/generate', '{"model":"alpha","prompt":"hi","stream":false}');
      const next = ['--next', '-sS', '-i', '-v'];
      const answers = await curlAll([
        '-v',
        ...to('/api/generate', '{"model":'),
        ...next,
        ...good,
        ...next,
        ...to('/api/pull', '{"model":"alpha"}'),
        ...next,
        ...to('/v1/chat/completions', '{"model":"nope","messages":[]}'),
        ...next,
        ...good,
      ]);
      expect(answers.map(({ status }) => status)).toEqual([400, 200, 403, 404, 200]);
      const reused = answers[0]?.notes.match(/Re-using existing connection/g) ?? [];
      // What is refused before its body was read, and what is no valid request, ends the connection.
      expect(answers.map(({ headers }) => headers.get('connection') === 'close')).toEqual([
        true,
        false,
        true,
        false,
        false,
      ]);
      expect(reused).toHaveLength(2);
    });

    it('B32: JSON is JSON whatever Content-Type says', async () => {
      for (const type of ['text/plain', 'application/x-www-form-urlencoded', '']) {
        const args = ['-H', `Content-Type: ${type}`, '--data-binary', '@-', `${warmpath.url}/api/generate`];
        const answer = await curl(args, '{"model":"alpha","prompt":"hi","stream":false}');
        expect(answer.status, type).toBe(200);
      }
    });

    it('a client that hangs up frees the node at once', async () => {
      for (const node of fleet.nodes) await node.setFault({ kind: 'hang_before_token' });
      const gone = new AbortController();
      const answer = post(
        `${warmpath.url}/api/chat`,
        { model: 'alpha', messages: MESSAGES },
        { signal: gone.signal },
      );
      await expect.poll(() => fleet.nodes.some((node) => node.stats().running === 1)).toBe(true);
      gone.abort();
      await expect(answer).rejects.toThrow();
      await expect.poll(() => fleet.nodes.every((node) => node.stats().running === 0)).toBe(true);
      await expect
        .poll(async () => (await warmpath.status()).nodes.map((node) => node.inflight))
        .toEqual([0, 0]);
      expect(fleet.inference).toHaveLength(1);
    });

    it('a node cannot pretend to be another, and no address is told', async () => {
      for (const node of fleet.nodes) {
        const headers = {
          'x-warmpath-node': 'forged',
          'x-warmpath-attempts': '7',
          'x-warmpath-decision': 'x',
        };
        await node.setFault({ kind: 'reply', status: 200, body: '{}', headers });
      }
      const answer = await postJson('/api/chat', { model: 'alpha', messages: MESSAGES });
      expect(answer.headers.get('x-warmpath-node')).toMatch(/^n[12]$/);
      expect(answer.headers.get('x-warmpath-attempts')).toBe('1');
      expect(answer.headers.get('x-warmpath-decision')).not.toBe('x');
      for (const { port } of fleet.nodes) {
        expect([...answer.headers.values()].join()).not.toContain(String(port));
      }
    });
  });

  describeReal(realCurl, 'with responseHeaders: false', () => {
    it('nothing tells which node answered, in answers and in refusals', async () => {
      const fleet = await startFleet(1, { models: [{ name: 'alpha', sizeBytes: 1e6 }], timeScale: 100 });
      const warmpath = await startWarmpath({ nodes: fleet.specs, config: { responseHeaders: false } });
      try {
        const generate = `${warmpath.url}/api/generate`;
        const answers = [
          await post(generate, { model: 'alpha', prompt: 'hi', stream: false }),
          await send(`${warmpath.url}/api/tags`),
          await fault(),
        ];
        expect(answers.map(({ status }) => status)).toEqual([200, 200, 503]);
        for (const { headers } of answers) {
          expect(
            Object.keys(headers).filter((name) => /^x-warmpath-(node|attempts|decision)/.test(name)),
          ).toEqual([]);
        }
        async function fault() {
          await fleet.node('n1').setFault({ kind: 'reply', status: 503, message: 'busy' });
          return post(generate, { model: 'alpha', prompt: 'hi', stream: false });
        }
      } finally {
        await warmpath.stop();
        await fleet.close();
      }
    });
  });
});

/** A request of exactly so many bytes, with text that is more than ASCII. */
function sized(size: number, path: string): Buffer {
  const [head, tail] = path.includes('generate')
    ? ['{"prompt":"', '","model":"alpha","stream":false}']
    : ['{"messages":[{"role":"user","content":"', '"}],"model":"alpha","max_tokens":3,"stream":false}'];
  const body = Buffer.alloc(size, 'zażółć \\"gęślą\\" 日本 abcdefgh');
  body.write(head);
  const text = size - Buffer.byteLength(tail);
  // Where the padding might be cut inside a character or an escape stands plain text.
  body.fill('.', text - 24, text);
  body.fill('.', head.length, head.length + 24);
  body.write(tail, text);
  return body;
}

/** An answer of about so many bytes, every byte value in it. */
function answerOf(size: number): Buffer {
  const body = Buffer.alloc(size);
  for (let i = 0; i < size; i++) body[i] = (i * 31 + (i >> 8)) & 255;
  return body;
}
