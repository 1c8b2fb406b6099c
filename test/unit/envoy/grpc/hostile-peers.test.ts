import { setImmediate, setTimeout } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Connection, leastUseful } from '../../../../src/envoy/grpc/connections.ts';
import { type GrpcServer, startGrpcServer } from '../../../../src/envoy/grpc/server.ts';
import { UnreadBudget } from '../../../../src/envoy/grpc/unread-budget.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { MemoryLog } from './harness.ts';
import { HealthClient } from './health-client.ts';
import { CALL_HEADERS, FRAME, frame, headerBlock, RawPeer } from './raw-peer.ts';

const ATTACK_MS = 300;
const log = new MemoryLog();
let server: GrpcServer;
let others: HealthClient;
const peers: RawPeer[] = [];

beforeAll(async () => {
  server = await startGrpcServer({
    bind: { kind: 'tcp', host: '127.0.0.1', port: 0 },
    limits: { bodyBytes: 1024 * 1024 },
    services: [],
    clock: new FakeClock(),
    log,
  });
  server.setReady(true);
  others = new HealthClient(server.address);
});
afterEach(() => {
  for (const peer of peers.splice(0)) peer.close();
});
afterAll(async () => {
  others.close();
  await server.close();
});

async function open(): Promise<RawPeer> {
  const peer = await RawPeer.open(server.port ?? 0);
  peers.push(peer);
  return peer;
}

/** Writes `next` again and again while another client asks; tells how that went. */
async function attack(peer: RawPeer, next: () => Buffer): Promise<{ served: number; failed: number }> {
  const result = { served: 0, failed: 0 };
  const until = performance.now() + ATTACK_MS;
  const asking = (async () => {
    while (performance.now() < until) {
      if ((await others.check('')) === 'SERVING') result.served += 1;
      else result.failed += 1;
    }
  })();
  while (!peer.isClosed && performance.now() < until) {
    // A peer that reads nothing fills its own buffers: it writes as long as it can.
    await Promise.race([peer.write(next()), setTimeout(20)]);
    await setImmediate();
  }
  await asking;
  return result;
}

const many = (bytes: Buffer, count: number): Buffer => Buffer.concat(Array<Buffer>(count).fill(bytes));
const pings = many(frame(FRAME.ping, 0, 0, Buffer.alloc(8)), 2_000);
const settings = many(frame(FRAME.settings, 0, 0), 2_000);
const longSettings = frame(FRAME.settings, 0, 0, many(Buffer.from([0, 4, 0, 1, 0, 0]), 1_000));
const call = (stream: number, headers: readonly (readonly [string, string])[] = CALL_HEADERS): Buffer =>
  frame(FRAME.headers, 4, stream, headerBlock(headers));

describe('S24: a hostile peer is cut, or contained, and others are served meanwhile', () => {
  it.each([
    ['floods of pings', pings, false],
    ['floods of pings whose answers it never reads', pings, true],
    ['floods of settings', settings, false],
    ['floods of settings whose answers it never reads', settings, true],
    ['settings with a thousand entries', longSettings, false],
  ])('%s', async (_name, bytes, isDeaf) => {
    const peer = (await open()).greet();
    if (isDeaf) peer.socket.pause();
    const { served, failed } = await attack(peer, () => bytes);
    expect(failed).toBe(0);
    expect(served).toBeGreaterThan(0);
    await peer.closed;
  });

  it('headers without an end', async () => {
    const peer = (await open()).greet();
    await peer.write(frame(FRAME.headers, 0, 1, headerBlock(CALL_HEADERS)));
    const endless = many(frame(FRAME.continuation, 0, 1, headerBlock([['a', 'b']])), 100);
    const { served, failed } = await attack(peer, () => endless);
    expect([failed, served > 0]).toEqual([0, true]);
    await peer.closed;
  });

  it('more headers than a call has', async () => {
    const peer = (await open()).greet();
    const bomb = Array.from({ length: 200 }, (_, i) => [`h${i}`, 'x'] as const);
    await peer.write(call(1, [...CALL_HEADERS, ...bomb]));
    await until(() => peer.frames().includes(FRAME.rst) || peer.isClosed);
    expect(await others.check('')).toBe('SERVING');
  });

  it('calls that are reset at once, by the thousand', async () => {
    const peer = (await open()).greet();
    let stream = -1;
    const { served, failed } = await attack(peer, () =>
      Buffer.concat(
        Array.from({ length: 100 }, () => {
          stream += 2;
          return Buffer.concat([call(stream), frame(FRAME.rst, 0, stream, Buffer.from([0, 0, 0, 8]))]);
        }),
      ),
    );
    expect([failed, served > 0]).toEqual([0, true]);
    expect(stream).toBeGreaterThan(200);
  });

  it('calls whose answers are never read', async () => {
    const peer = (await open()).greet();
    peer.socket.pause();
    let stream = -1;
    const { served, failed } = await attack(peer, () =>
      Buffer.concat(
        Array.from({ length: 100 }, () => {
          stream += 2;
          return Buffer.concat([call(stream), frame(FRAME.data, 1, stream, Buffer.alloc(5))]);
        }),
      ),
    );
    expect([failed, served > 0]).toEqual([0, true]);
  });

  it('messages that promise more than a message may have, or that are none', async () => {
    const peer = (await open()).greet();
    await peer.write(
      Buffer.concat([call(1), frame(FRAME.data, 0, 1, Buffer.from([0, 0xff, 0xff, 0xff, 0xff]))]),
    );
    await peer.write(
      Buffer.concat([call(3), frame(FRAME.data, 0, 3, Buffer.from([0, 0, 0, 0, 2, 0xff, 0xff]))]),
    );
    await until(() => peer.frames().filter((type) => type === FRAME.headers).length === 2);
    expect(await others.check('')).toBe('SERVING');
  });

  it('more connections than are taken: the silent ones make way, for new clients too', async () => {
    const busy = await open();
    busy.greet();
    await busy.write(call(1));
    const flood = await Promise.all(
      Array.from({ length: 1_200 }, async (_, i) => (i % 2 === 0 ? await open() : (await open()).greet())),
    );
    const newcomer = new HealthClient(server.address);
    expect(await newcomer.check('')).toBe('SERVING');
    newcomer.close();
    expect(await others.check('')).toBe('SERVING');
    await until(() => flood.filter((peer) => peer.isClosed).length >= 170);
    expect(busy.isClosed).toBe(false);
  });

  it('none of it was an error of ours', () => {
    expect(log.messages('error')).toEqual([]);
  });
});

describe('the connection that makes way', () => {
  const one = (fields: Partial<Connection>): Connection => ({
    address: 'a',
    isGreeted: true,
    streams: 1,
    usedAt: 5,
    ...fields,
  });
  const newest = one({ isGreeted: false, streams: 0, usedAt: 9 });

  it.each([
    ['never spoke', one({ isGreeted: false, streams: 0 }), [one({ streams: 0, usedAt: 1 })]],
    ['has no stream', one({ streams: 0 }), [one({ usedAt: 1 })]],
    ['comes from where the most come from', one({ streams: 9 }), [one({ address: 'b', usedAt: 1 })]],
    ['has the fewest streams', one({}), [one({ streams: 2, usedAt: 1 })]],
    ['was silent the longest', one({ usedAt: 1 }), [one({})]],
  ])('is the one that %s', (_name, worst, better) => {
    expect(leastUseful([...better, worst, newest], newest)).toBe(worst);
    expect(leastUseful([worst, ...better, newest], newest)).toBe(worst);
  });

  it('is never the newest', () => {
    expect(leastUseful([newest], newest)).toBeUndefined();
  });
});

describe('what lies unread', () => {
  it('is bounded over all peers: who has the most of it is cut', () => {
    const cut: string[] = [];
    const debtor = (name: string) => ({ cut: () => void cut.push(name) });
    const [a, b, c] = [debtor('a'), debtor('b'), debtor('c')];
    const budget = new UnreadBudget(100);
    budget.set(a, 30);
    budget.set(b, 60);
    budget.set(a, 40);
    expect(cut).toEqual([]);
    budget.set(c, 1);
    expect(cut).toEqual(['b']);
    expect(budget.total).toBe(41);
    budget.set(a, 0);
    budget.set(c, 100);
    expect(cut).toEqual(['b']);
  });
});

async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await setTimeout(5);
}
