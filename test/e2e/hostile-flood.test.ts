import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type SimulatedFleet, startFleet } from '../sim/fleet.ts';
import { realEnvoy } from '../support/envoy.ts';
import { connectRaw, post, rawRequest, send } from '../support/http-client.ts';
import { describeReal } from '../support/require-real.ts';
import { pause } from '../support/wait-for.ts';
import { type RunningWarmpath, startWarmpath } from '../support/warmpath.ts';

const COUNT = 3000;
const AT_ONCE = 16;
const GOOD_EVERY_MS = 5;
const SEED = 20_261_121;
const PATHS = [
  '/api/chat',
  '/api/generate',
  '/api/embed',
  '/v1/chat/completions',
  '/v1/completions',
  '/v1/embeddings',
  '/v1/responses',
  '/v1/messages',
];

/** Reproducible chance (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** What cannot be right, whatever comes of the dice: bodies to send by HTTP, or bytes to write as they are. */
type Bad =
  | {
      readonly kind: 'http';
      readonly path: string;
      readonly body: Buffer;
      readonly headers?: Record<string, string>;
    }
  | { readonly kind: 'denied'; readonly method: string; readonly path: string }
  | { readonly kind: 'raw'; readonly bytes: Buffer };

class Malformed {
  readonly #random: () => number;

  constructor(seed: number) {
    this.#random = seeded(seed);
  }

  next(): Bad {
    return this.#one<() => Bad>([
      () => this.#http(this.#cut(this.#good())),
      () => this.#http(`${this.#good()}${this.#one(['x', '{', ']', ',', '{}', 'null', '"'])}`),
      () => this.#http(`{"model":"alpha",${this.#spelling()}:"beta",${this.#filler()}}`),
      () => this.#http(`{"model":${JSON.stringify(this.#badName())},${this.#filler()}}`),
      () => this.#http(`{"model":${this.#one(['1', '[]', '{}', 'true', '-0'])},${this.#filler()}}`),
      () => this.#http(`{${this.#filler()},"x":${'['.repeat(this.#between(513, 5000))}`),
      () =>
        this.#http(
          `{${this.#filler()},"model":"alpha","x":${this.#one(['01', 'NaN', '+1', '.1', "'a'", 'tru'])}}`,
        ),
      () => this.#http(this.#noise(this.#between(1, 4000))),
      () => this.#http(''),
      () => ({
        ...this.#http(this.#good()),
        headers: { 'content-encoding': this.#one(['gzip', 'br', 'zstd', 'x']) },
      }),
      () => ({
        kind: 'denied',
        method: this.#one(['POST', 'DELETE', 'PUT', 'PATCH']),
        path: this.#deniedPath(),
      }),
      () => ({ kind: 'raw', bytes: this.#noise(this.#between(1, 3000)) }),
      () => ({ kind: 'raw', bytes: Buffer.from(this.#brokenHttp()) }),
    ])();
  }

  #http(body: string | Buffer): Bad & { kind: 'http' } {
    return { kind: 'http', path: this.#one(PATHS), body: Buffer.from(body) };
  }

  #good(): string {
    return `{"model":"alpha",${this.#filler()},"options":{"num_ctx":2048,"x":[1,2.5e3,null,true]}}`;
  }

  /** Any proper beginning of an object is none. */
  #cut(text: string): string {
    return text.slice(0, this.#between(1, text.length - 1));
  }

  #filler(): string {
    const text = this.#one([
      'hi',
      'ż\\"\\\\\\u00e9',
      'x'.repeat(this.#between(1, 2000)),
      '"'.repeat(0),
      '\\n',
    ]);
    return `"messages":[{"role":"user","content":"${text}"}],"prompt":"${text}","input":"x","max_tokens":3`;
  }

  #spelling(): string {
    return this.#one(['"model"', '"Model"', '"MODEL"', '"mod\\u0065l"', '"mOdEl"', '"\\u004dodel"']);
  }

  #badName(): string {
    const bad = this.#one([
      '\r\n',
      '\0',
      ' a b',
      '<img>',
      '..',
      '//',
      ':',
      '\u202e',
      '%2f',
      "';--",
      '\\',
      'a'.repeat(600),
    ]);
    return this.#one([bad, `${bad}alpha`, `al${bad}pha`])
      .replace('al..pha', '../x')
      .replace('al:pha', 'al:p:ha');
  }

  #deniedPath(): string {
    const base = this.#one([
      '/api/pull',
      '/api/delete',
      '/api/create',
      '/api/blobs/sha256:0',
      '/v1/files',
      '/debug/x',
    ]);
    return this.#one([
      base,
      `/${base}`,
      `${base}/`,
      `${base}?x=y`,
      base.toUpperCase(),
      `/x/..${base}`,
      `${base};x`,
    ]);
  }

  #brokenHttp(): string {
    const good = rawRequest('POST', '/api/chat', { body: this.#good() });
    return this.#one([
      good.replace('Content-Length:', 'Content-Length: 1\r\nTransfer-Encoding: chunked\r\nX:'),
      good.replace('HTTP/1.1', `HTTP/${this.#between(2, 99)}.x`),
      good.replace('Host: localhost', 'Host: a b\r\nHost: c'),
      good.replace('POST', 'PO ST'),
      good.replace('\r\n', '\n\r'),
      good.replace('Host:', 'Ho\0st:'),
      `GET ${'/a'.repeat(40_000)} HTTP/1.1\r\nHost: x\r\n\r\n`,
      `GET / HTTP/1.1\r\n${'X: y\r\n'.repeat(200)}\r\n`,
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnothing of it',
      'CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80\r\n\r\n',
      good.slice(0, this.#between(1, 60)),
    ]);
  }

  #noise(length: number): Buffer {
    const bytes = Buffer.alloc(length);
    for (let i = 0; i < length; i++) bytes[i] = Math.floor(this.#random() * 256);
    // Never an object, whatever follows.
    bytes[0] = 0xff;
    return bytes;
  }

  #between(low: number, high: number): number {
    return low + Math.floor(this.#random() * (high - low + 1));
  }

  #one<T>(choices: readonly T[]): T {
    // Never empty, so the index is always inside.
    return choices[Math.floor(this.#random() * choices.length)] as T;
  }
}

describeReal(await realEnvoy(), 'G7: malformed requests beside good ones', () => {
  let fleet: SimulatedFleet;
  let warmpath: RunningWarmpath;

  beforeAll(async () => {
    fleet = await startFleet(2, { models: [{ name: 'alpha', sizeBytes: 1e6 }], timeScale: 1000, slots: 8 });
    const nodes = fleet.specs.map(({ name, url }) => ({ name, url }));
    warmpath = await startWarmpath({ nodes: [], config: { nodes } });
    await warmpath.waitForNodes();
  });
  afterAll(async () => {
    await warmpath?.stop();
    await fleet?.close();
  });

  it(`${COUNT} of them reach no node, crash nothing and cost the good ones nothing`, async () => {
    const good = async () => {
      const answer = await post(`${warmpath.url}/api/chat`, {
        model: 'alpha',
        messages: [{ role: 'user', content: 'good' }],
        stream: false,
      });
      return {
        ok: answer.status === 200 && answer.headers['x-warmpath-decision'] !== undefined,
        ms: answer.totalMs,
      };
    };
    for (let i = 0; i < 20; i++) await good();
    const before = { pids: warmpath.pids, rss: rssOf(warmpath) };
    fleet.clearRequests();

    const state = { isOver: false };
    const goodAnswers: Promise<{ ok: boolean; ms: number }>[] = [];
    const goodTraffic = (async () => {
      while (!state.isOver) {
        goodAnswers.push(good());
        await pause(GOOD_EVERY_MS);
      }
    })();
    const malformed = new Malformed(SEED);
    const statuses = new Map<number, number>();
    let left = COUNT;
    const worker = async () => {
      while (left-- > 0) {
        const bad = malformed.next();
        const status = await sendBad(bad);
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
        if (status >= 500 || (status > 0 && status < 400))
          throw new Error(`${status} for ${describeBad(bad)}`);
      }
    };
    try {
      await Promise.all(Array.from({ length: AT_ONCE }, worker));
    } finally {
      state.isOver = true;
      await goodTraffic;
    }
    const served = await Promise.all(goodAnswers);

    expect(served.filter(({ ok }) => !ok)).toEqual([]);
    expect(fleet.inference).toHaveLength(served.length);
    expect(fleet.forbidden).toEqual([]);
    expect(warmpath.pids).toEqual(before.pids);
    const sorted = served.map(({ ms }) => ms).sort((a, b) => a - b);
    const p99 = sorted[Math.floor(sorted.length * 0.99)] ?? 0;
    const after = rssOf(warmpath);
    console.log(
      `G7: ${JSON.stringify(Object.fromEntries(statuses))}; ${served.length} good ones, p99 ${p99.toFixed(0)} ms; ` +
        `RSS MiB ${JSON.stringify(before.rss)} -> ${JSON.stringify(after)}`,
    );
    expect(p99).toBeLessThan(500);
    expect(after.controlPlane).toBeLessThan(before.rss.controlPlane + 64);
    expect(after.envoy).toBeLessThan(before.rss.envoy + 64);
    await expect
      .poll(async () => (await warmpath.status()).nodes.map(({ inflight }) => inflight), { timeout: 5000 })
      .toEqual([0, 0]);
  }, 120_000);

  /** The status of the answer; 0 where the connection was closed without one. */
  async function sendBad(bad: Bad): Promise<number> {
    switch (bad.kind) {
      case 'http': {
        const headers = bad.headers ?? {};
        return (await send(`${warmpath.url}${bad.path}`, { method: 'POST', body: bad.body, headers })).status;
      }
      case 'denied':
        return raw(Buffer.from(rawRequest(bad.method, bad.path, { body: '{"model":"alpha"}' })));
      case 'raw':
        return raw(bad.bytes);
    }
  }

  async function raw(bytes: Buffer): Promise<number> {
    const connection = await connectRaw(warmpath.url);
    connection.write(bytes);
    // What is no request yet stays open until it is one: its client gives up.
    const status = await connection.waitFor(/^HTTP\/1\.[01] (\d{3})/, 400).catch(() => '');
    connection.hangUp();
    return Number(/^HTTP\/1\.[01] (\d{3})/.exec(status)?.[1] ?? 0);
  }
});

function describeBad(bad: Bad): string {
  return bad.kind === 'denied'
    ? `${bad.method} ${bad.path}`
    : JSON.stringify((bad.kind === 'http' ? bad.body : bad.bytes).toString('latin1').slice(0, 300));
}

function rssOf({ pids }: RunningWarmpath): { controlPlane: number; envoy: number } {
  const rss = (pid: number) =>
    Math.round(Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024);
  return { controlPlane: rss(pids.controlPlane), envoy: rss(pids.envoy) };
}
