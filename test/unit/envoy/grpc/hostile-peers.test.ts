import { setImmediate, setTimeout } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { GrpcCall } from '../../../../src/envoy/grpc/call.ts';
import { type Connection, leastUseful } from '../../../../src/envoy/grpc/connections.ts';
import { HealthService } from '../../../../src/envoy/grpc/health.ts';
import { Http2Listener } from '../../../../src/envoy/grpc/http2-listener.ts';
import { type GrpcServer, startGrpcServer } from '../../../../src/envoy/grpc/server.ts';
import { Strangers } from '../../../../src/envoy/grpc/strangers.ts';
import { UnreadBudget } from '../../../../src/envoy/grpc/unread-budget.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { MemoryLog } from './harness.ts';
import { HealthClient } from './health-client.ts';
import { CALL_HEADERS, FRAME, frame, headerBlock, PREFACE, RawPeer } from './raw-peer.ts';

const ATTACK_MS = 150;
const log = new MemoryLog();
const clock = new FakeClock();
const WATCH = CALL_HEADERS.map(
  ([name, value]) => [name, name === ':path' ? '/grpc.health.v1.Health/Watch' : value] as const,
);
let server: GrpcServer;
let others: HealthClient;
const peers: RawPeer[] = [];

async function begin(anyAuthority: boolean): Promise<void> {
  server = await startGrpcServer({
    bind: { kind: 'tcp', host: '127.0.0.1', port: 0 },
    limits: { bodyBytes: 1024 * 1024 },
    services: [],
    anyAuthority,
    clock,
    log,
  });
  server.setReady(true);
  others = new HealthClient(server.address);
}
async function end(): Promise<void> {
  others.close();
  await server.close();
}
afterEach(() => {
  for (const peer of peers.splice(0)) peer.close();
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

describe.each([
  ['our own Envoy', false],
  ['any proxy', true],
])(
  'S24: where %s is expected, a hostile peer is cut or contained, and others are served',
  (_who, anyAuthority) => {
    beforeAll(() => begin(anyAuthority));
    afterAll(end);

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
      const flood: RawPeer[] = [];
      // Not all at once: the kernel would drop some.
      while (flood.length < 1_200) {
        const some = await Promise.all(Array.from({ length: 100 }, () => open()));
        for (const [i, peer] of some.entries()) if (i % 2 === 0) peer.greet();
        flood.push(...some);
        expect(await others.check('')).toBe('SERVING');
      }
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
  },
);

describe('S24: time that a peer may take', () => {
  beforeAll(() => begin(false));
  afterAll(end);

  it('ends for one that never says it speaks HTTP/2, and for calls that say nothing', async () => {
    const silent = await open();
    const slow = await open();
    await slow.write(PREFACE.subarray(0, 10));
    const mute = (await open()).greet();
    await mute.write(call(1));
    const said = (await open()).greet();
    await said.write(Buffer.concat([call(1, WATCH), frame(FRAME.data, 0, 1, Buffer.alloc(5))]));
    await until(() => mute.frames().includes(FRAME.settings) && said.frames().includes(FRAME.data));
    expect(await others.check('')).toBe('SERVING');
    await clock.advance(10_000);
    await Promise.all([silent.closed, slow.closed]);
    expect([mute.isClosed, said.isClosed]).toEqual([false, false]);
    expect(mute.frames()).not.toContain(FRAME.headers);
    await clock.advance(30_000);
    await until(() => mute.frames().includes(FRAME.headers));
    expect(said.frames().filter((type) => type === FRAME.headers)).toHaveLength(1);
    expect(said.frames()).not.toContain(FRAME.rst);
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
  it('S24: a call whose peer takes nothing is cut, the calls of others go on', async () => {
    // A service that answers with 1 MiB.
    const definition = new HealthService().definition.Check;
    if (definition === undefined) throw new Error('no method');
    const large = Buffer.alloc(1024 * 1024);
    const method = { ...definition, responseSerialize: () => large };
    const unread = new UnreadBudget(4 * 1024 * 1024);
    const listener = new Http2Listener(
      new Map([[definition.path, { definition: method, handle: answering }]]),
      {
        tls: undefined,
        clock,
        unread,
        maxMessageBytes: 1024,
        strangers: new Strangers({ address: 'here', clock, log }),
        onDefect: (error) => log.error({ err: error }, 'defect'),
      },
    );
    const port = (await listener.listen({ kind: 'tcp', host: '127.0.0.1', port: 0 })) ?? 0;
    const deaf = (await RawPeer.open(port)).greet();
    deaf.socket.pause();
    const calls = Array.from({ length: 8 }, (_, i) =>
      Buffer.concat([call(2 * i + 1), frame(FRAME.data, 0, 2 * i + 1, Buffer.alloc(5))]),
    );
    await deaf.write(Buffer.concat(calls));
    await until(() => unread.total > 3 * 1024 * 1024);
    expect(unread.total).toBeLessThanOrEqual(4 * 1024 * 1024);
    const taking = (await RawPeer.open(port)).greet();
    // A window for all that comes.
    await taking.write(frame(8, 0, 0, Buffer.from([0x3f, 0xff, 0, 0])));
    await taking.write(Buffer.concat([call(1), frame(8, 0, 1, Buffer.from([0x3f, 0xff, 0, 0]))]));
    await taking.write(frame(FRAME.data, 1, 1, Buffer.alloc(5)));
    await until(() => taking.received.reduce((sum, bytes) => sum + bytes.length, 0) > 1024 * 1024);
    deaf.close();
    taking.close();
    await until(() => unread.total === 0);
    await listener.close();
  });

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

/** Answers each message with one. */
function answering(call: GrpcCall): void {
  call.listen({ onMessage: () => call.send({}), onEnd: () => call.end(), onOver: () => undefined });
}

async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await setTimeout(5);
}
