import { createHash } from 'node:crypto';
import { connect } from 'node:http2';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { realEnvoy } from '../support/envoy.ts';
import { connectRaw, post, rawRequest } from '../support/http-client.ts';
import { describeReal } from '../support/require-real.ts';
import { waitFor } from '../support/wait-for.ts';
import { type Arena, closeArenas, GENERATE, MODEL, startArena } from './faults/arena.ts';

const MIB = 2 ** 20;
const JSON_HEADERS = { 'Content-Type': 'application/json' };

/** A body with this context; all else as some client might write it. */
function body(numCtx: number | string, prompt = 'hello'): string {
  return (
    `{ "mod\\u0065l" : "${MODEL}",\t"prompt": ${JSON.stringify(prompt)}, "stream":false,\r\n` +
    ` "\\u006fptions": {"num_predict":2, "other": {"num_ctx": 7}, "num_ct\\u0078" :  ${numCtx} , "stop":["}"]},` +
    ' "unknown": [1e400, {"options": {"num_ctx": 9}}] }\n'
  );
}

describeReal(await realEnvoy(), 'bodies that are changed on their way', () => {
  let arena: Arena;
  beforeAll(async () => {
    arena = await startArena({ count: 2, slots: 8 });
    await waitFor('both to be warm', async () => {
      const { nodes } = await arena.warmpath.status();
      return nodes.every(({ warm }) => warm.length === 1);
    });
  });
  afterAll(closeArenas);
  beforeEach(() => arena.fleet.clearRequests());

  const expectBodies = (...bodies: string[]): void =>
    expect(arena.fleet.inference.map(({ bodySha256, bodyBytes }) => [bodyBytes, bodySha256])).toEqual(
      bodies.map((each) => [Buffer.byteLength(each), createHash('sha256').update(each).digest('hex')]),
    );

  it('differ in the bytes of that field only, with the right length', async () => {
    expect((await post(arena.url + GENERATE, body(512))).status).toBe(200);
    expectBodies(body(4096));
    const [seen] = arena.fleet.inference;
    expect(seen?.headers['content-length']).toBe(String(Buffer.byteLength(body(4096))));
    expect(seen?.headers['transfer-encoding']).toBeUndefined();
  });

  it('pass untouched where nothing is due', async () => {
    expect((await post(arena.url + GENERATE, body(4096))).status).toBe(200);
    expectBodies(body(4096));
  });

  it('may come in chunks', async () => {
    const connection = await connectRaw(arena.url);
    const head = { ...JSON_HEADERS, 'Transfer-Encoding': 'chunked', Connection: 'close' };
    connection.write(rawRequest('POST', GENERATE, { headers: head }));
    const text = body(512);
    for (let at = 0; at < text.length; at += 50) {
      const piece = text.slice(at, at + 50);
      connection.write(`${piece.length.toString(16)}\r\n${piece}\r\n`);
    }
    connection.write('0\r\n\r\n');
    await connection.waitFor(/"done":\s*true/);
    connection.hangUp();
    expectBodies(body(4096));
  });

  it('may come by HTTP/2, with a length or without', async () => {
    const session = connect(arena.url);
    try {
      for (const length of [{}, { 'content-length': String(Buffer.byteLength(body(512))) }]) {
        const request = session.request({
          ':method': 'POST',
          ':path': GENERATE,
          'content-type': 'application/json',
          ...length,
        });
        request.end(body(512));
        const status = await new Promise((resolve, reject) => {
          request.on('response', (headers) => resolve(headers[':status']));
          request.on('error', reject);
        });
        request.resume();
        expect(status).toBe(200);
      }
    } finally {
      session.close();
    }
    expectBodies(body(4096), body(4096));
  });

  it('may be long', async () => {
    const prompt = 'long "text" \\ \n\u00e9 '.repeat(MIB / 4);
    expect(Buffer.byteLength(body(512, prompt))).toBeGreaterThan(4 * MIB);
    const answers = await Promise.all([1, 2, 3].map(() => post(arena.url + GENERATE, body(512, prompt))));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    expectBodies(body(4096, prompt), body(4096, prompt), body(4096, prompt));
  });

  it('are the same for the second node where the first fails', async () => {
    for (const node of arena.fleet.nodes) await node.setFault({ kind: 'reply', status: 500, times: 1 });
    const answer = await post(arena.url + GENERATE, body(512));
    expect([answer.status, answer.headers['x-warmpath-attempts']]).toEqual([500, '2']);
    for (const node of arena.fleet.nodes) await node.setFault(undefined);
    expectBodies(body(4096), body(4096));
  });
});
