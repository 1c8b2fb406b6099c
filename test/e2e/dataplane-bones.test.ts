import fc from 'fast-check';
import { Pool } from 'undici';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { asReceived, bonesOf } from '../unit/request/bones-of.ts';
import { arbitraryBody, fromBinary } from '../unit/request/generators.ts';
import { dataPlane } from './dataplane/envoy-binary.ts';
import { eachOf } from './dataplane/raw-http.ts';
import { Stack } from './dataplane/stack.ts';

const BATCH = 2_500;
const SEED = 20_261_121;
const WINDOW = 65_536;

dataPlane('bones, as Envoy makes them', () => {
  let stack: Stack;
  let pool: Pool;
  beforeAll(async () => {
    stack = await Stack.start();
    pool = new Pool(stack.envoy.url, { connections: 8 });
  });
  afterAll(async () => {
    await pool?.close();
    await stack?.stop();
  });
  beforeEach(() => {
    stack.reset();
    const headers = { 'content-type': 'application/json' };
    stack.control.answer = () => ({ kind: 'reply', status: 200, body: '{}', headers });
  });

  /** Making bodies blocks this process, and with it the control plane's answers to health checks. */
  const controlIsHealthy = async () => {
    const isAsked = async () => {
      stack.control.asked.length = 0;
      await (await stack.post('/api/chat?probe', '{}')).text();
      return stack.control.asked.length;
    };
    await expect.poll(isAsked, { timeout: 5_000, interval: 100 }).toBe(1);
    stack.reset();
  };

  /** Sends every body and returns the bones that ext_proc was given for each. */
  const collect = async (bodies: readonly Uint8Array[]): Promise<Map<number, string | undefined>> => {
    await controlIsHealthy();
    await eachOf([...bodies.entries()], 8, async ([i, body]) => {
      const answer = await pool.request({
        method: 'POST',
        path: `/api/chat?${i}`,
        body: Buffer.from(body),
      });
      expect(answer.statusCode).toBe(200);
      await answer.body.dump();
    });
    return new Map(
      stack.control.asked.map(({ headers, bones }) => [Number(headers.get(':path')?.split('?')[1]), bones]),
    );
  };

  const expectReference = async (bodies: readonly Uint8Array[]) => {
    const got = await collect(bodies);
    expect(got.size).toBe(bodies.length);
    for (const [i, body] of bodies.entries()) {
      const bones = body.length === 0 ? undefined : bonesOf(body);
      // Past its budget of backslashes the filter gives up, which the reference does not.
      if (hasLongRun(body) && got.get(i) === undefined) continue;
      expect(got.get(i), describeBody(body)).toBe(bones === undefined ? undefined : asReceived(bones));
    }
  };

  it('are the reference, for thousands of bodies', async () => {
    const bodies = fc.sample(arbitraryBody(), { numRuns: BATCH, seed: SEED });
    expect(bodies.filter(({ length }) => length > 1024).length).toBeGreaterThan(BATCH / 10);
    await expectReference(bodies);
  });

  it("are the reference where strings, escapes and quotes lie across the window's edges", async () => {
    const filler = fc.constantFrom('x', '\\\\', '\\"', '\\n', '\u00e9', '\ud83d\ude00');
    const large = fc
      .record({
        filler,
        at: fc.integer({ min: WINDOW - 12, max: WINDOW + 12 }),
        windows: fc.integer({ min: 1, max: 3 }),
        tail: filler,
      })
      .map(({ filler, at, windows, tail }) => {
        const start = '{"model":"m","prompt":"';
        const wanted = at * windows - start.length;
        const text = filler.repeat(Math.floor(wanted / Buffer.byteLength(filler)));
        return Buffer.from(
          `${start}${text}${tail.repeat(3)}","x":["${'y'.repeat(300)}","${'z'.repeat(301)}"]}`,
        );
      });
    const bodies = fc.sample(large, { numRuns: 150, seed: SEED });
    expect(bodies.filter((body) => !hasLongRun(body)).length).toBeGreaterThan(90);
    await expectReference(bodies);
  });

  it('are whole for short bodies, and cut from 1,025 bytes on', async () => {
    const sized = (bytes: number) => Buffer.from(`{"model":"m","prompt":"${'x'.repeat(bytes - 25)}"}`);
    const bodies = [1, 2, 1023, 1024, 1025].map((bytes) =>
      bytes < 25 ? Buffer.alloc(bytes, 0x20) : sized(bytes),
    );
    await expectReference(bodies);
    expect(stack.control.asked.map(({ bones }) => bones?.length).sort()).toEqual(
      [1, 1023, 1024, 2, 94].sort(),
    );
  });

  it.each([
    ['quotes without end', `${'"a",'.repeat(70_000)}`],
    ['bones without end', '[1],'.repeat(40_000)],
    ['a string that is never closed', `{"model":"${'x'.repeat(2_000)}`],
    ['300 backslashes in a row', `{"a":"${'\\'.repeat(300)}","b":"${'x'.repeat(2000)}"}`],
    ['16 MiB of escaped quotes', Buffer.alloc(16 << 20, '\\"').toString('latin1')],
  ])('B14: there are none for %s, and the request goes on', async (_what, body) => {
    const got = await collect([Buffer.from(body, 'latin1')]);
    expect([...got]).toEqual([[0, undefined]]);
  });

  it('there are none for a request without a body', async () => {
    await controlIsHealthy();
    const answer = await pool.request({ method: 'POST', path: '/api/chat' });
    await answer.body.dump();
    expect(stack.control.asked.map(({ bones }) => bones)).toEqual([undefined]);
  });

  it('there are none with a NUL, which would end them', async () => {
    const got = await collect([fromBinary('{"model":"m\0evil"}'), fromBinary('\0{"model":"m"}')]);
    expect([...got].sort()).toEqual([
      [0, undefined],
      [1, undefined],
    ]);
  });

  it('S16: are in no log entry, whoever answers', async () => {
    const route = { kind: 'route', addresses: [stack.node().address] } as const;
    const reply = { kind: 'reply', status: 404, body: '{}' } as const;
    for (const answer of [route, reply, { kind: 'continue' }] as const) {
      await controlIsHealthy();
      stack.control.answer = () => answer;
      await (await stack.post('/api/chat', '{"model":"m","prompt":"canary-7f3a"}')).text();
      expect(stack.control.asked.map(({ bones }) => bones)).toEqual([expect.stringContaining('canary')]);
      const entry = await stack.control.entry(({ path }) => path === '/api/chat');
      expect(entry.metadata.get('warmpath')?.get('bones'), answer.kind).toBe('');
    }
  });
});

function hasLongRun(body: Uint8Array): boolean {
  return Buffer.from(body).includes('\\'.repeat(257));
}

function describeBody(body: Uint8Array): string {
  return `${body.length} bytes: ${Buffer.from(body.subarray(0, 200)).toString('latin1')}`;
}
