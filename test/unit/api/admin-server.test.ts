import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterEach, expect, it, vi } from 'vitest';
import { type AdminOptions, createAdminServer } from '../../../src/api/admin-server.ts';
import type { AdminSource, ExplainQuery } from '../../../src/api/admin-source.ts';
import { statusSchema } from '../../../src/api/status-schema.ts';
import { inputFromJson } from '../../../src/app/decision-input-json.ts';
import { replayDecision } from '../../../src/app/decision-inputs.ts';
import { SituationRecorder } from '../../../src/app/situation-tape.ts';
import { NO_FIGURES } from '../../../src/fleet/figures.ts';
import { RouterError } from '../../../src/request/errors.ts';
import { rank } from '../../../src/routing/rank.ts';
import { node, request, situation, snapshot, warmNode } from '../routing/builders.ts';
import { aDecision, aSource } from './fake-source.ts';
import { aModel, aNode, aResident } from './fleet-builder.ts';

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

function serve(source: AdminSource = aSource([]), options: Partial<AdminOptions> = {}) {
  const server = createAdminServer(source, {
    address: '127.0.0.1:9411',
    allowedHosts: [],
    metrics: { contentType: 'text/plain; version=0.0.4', render: async () => 'warmpath_up 1\n' },
    onError: () => {},
    ...options,
  });
  closing.push(() => server.close());
  return (
    url: string,
    { method = 'GET' as 'GET' | 'POST' | 'HEAD' | 'DELETE', host = '127.0.0.1:9411' } = {},
  ) => server.inject({ method, url, headers: { host } });
}

it('is alive whatever else is the matter', async () => {
  const get = serve(aSource([], { unreadyReasons: () => ['draining'] }));
  expect((await get('/healthz')).statusCode).toBe(200);
});

it('is ready once nothing speaks against it, and says what does', async () => {
  let reasons: string[] = ['first poll round is under way'];
  const get = serve(aSource([], { unreadyReasons: () => reasons }));
  const before = await get('/readyz');
  expect(before.statusCode).toBe(503);
  expect(before.json()).toEqual({ status: 'unready', reasons });
  reasons = [];
  expect((await get('/readyz')).statusCode).toBe(200);
});

it('serves the metrics under their own content type', async () => {
  const reply = await serve()('/metrics');
  expect(reply.headers['content-type']).toBe('text/plain; version=0.0.4');
  expect(reply.body).toBe('warmpath_up 1\n');
});

it.each([
  ['127.0.0.1:9411', 200],
  ['localhost:9411', 200],
  ['LOCALHOST', 200],
  ['admin.localhost', 200],
  ['[::1]:9411', 200],
  ['192.168.1.5:9411', 200],
  ['box.example:9411', 200],
  ['evil.com', 421],
  ['evil.com:9411', 421],
  ['localhost.evil.com', 421],
  ['127.0.0.1.evil.com', 421],
  ['evil.com#localhost', 421],
  ['127.0.0.1@evil.com', 421],
])('S08: answers the Host %s with %i', async (host, status) => {
  const reply = await serve(aSource([]), { allowedHosts: ['Box.example'] })('/status', { host });
  expect(reply.statusCode).toBe(status);
});

it('S08: the host is checked before anything else, also for paths that are none', async () => {
  expect((await serve()('/nothing', { host: 'evil.com' })).statusCode).toBe(421);
});

it.each(['POST', 'DELETE'] as const)('S07: is read-only: %s is refused on every path', async (method) => {
  for (const url of ['/status', '/metrics', '/nothing']) {
    const reply = await serve()(url, { method });
    expect(reply.statusCode).toBe(405);
    expect(reply.headers.allow).toBe('GET, HEAD');
  }
});

it('S09, S11: lets no other site read, frame or sniff it', async () => {
  const { headers } = await serve()('/status');
  expect(headers['access-control-allow-origin']).toBeUndefined();
  expect(headers['x-content-type-options']).toBe('nosniff');
  expect(headers['content-security-policy']).toContain("frame-ancestors 'none'");
});

it('answers 404 for what is not there', async () => {
  const reply = await serve()('/..%2f..%2fetc/passwd');
  expect(reply.statusCode).toBe(404);
  expect(reply.json()).toEqual({ error: 'not found' });
});

it('reports what an operator asks of a node', async () => {
  const node = aNode('gpu1', {
    spec: { token: 'very-secret', slots: 4, vramBytes: 24 * 2 ** 30, labels: { rack: 'a' } },
    models: [aModel('beta:7b'), aModel('alpha:latest')],
    resident: [aResident('alpha:latest')],
    health: {
      status: 'suspect',
      since: 4_000,
      lastFailure: { reason: 'timeout', source: 'poll', detail: 'no answer', at: 9_000 },
    },
    record: { seenAt: { resident: 8_500 }, rttMs: 2.5 },
  });
  const get = serve(
    aSource([node], {
      inflight: () => ({ onNode: () => 3, onModel: () => 2, nodesRunning: () => [], expectedEnds: () => [] }),
    }),
  );
  const reply = await get('/status');
  const report = statusSchema.parse(reply.json());
  expect(report.nodes[0]).toEqual({
    name: 'gpu1',
    status: 'suspect',
    since: '2026-01-01T00:00:04.000Z',
    url: 'http://10.0.0.1:11434',
    address: '10.0.0.1:11434',
    version: '0.24.0',
    admission: 1,
    weight: 1,
    labels: { rack: 'a' },
    lastFailure: { reason: 'timeout', detail: 'no answer', at: '2026-01-01T00:00:09.000Z' },
    failureRate: 0,
    models: ['alpha:latest', 'beta:7b'],
    warm: [
      {
        name: 'alpha:latest',
        vramBytes: 5 * 2 ** 30,
        sizeBytes: 5 * 2 ** 30,
        contextLength: 4096,
        expiresAt: '2026-01-01T00:05:00Z',
        inflight: 2,
      },
    ],
    slots: { value: 4, source: 'configured', ageMs: null },
    vram: {
      usedBytes: 5 * 2 ** 30,
      totalBytes: 24 * 2 ** 30,
      source: 'configured',
      ageMs: null,
      maxSeenBytes: 0,
      ceilingBytes: null,
    },
    gpu: null,
    inflight: 3,
    learnt: [],
    drains: [],
    rttMs: 2.5,
    pollAgeMs: 1_500,
    poller: 'r1',
  });
  expect(reply.body).not.toContain('very-secret');
});

it('reports a node of which nothing is known yet', async () => {
  const node = aNode('new', {
    record: { address: undefined, rttMs: undefined, seenAt: {}, version: undefined },
  });
  const report = statusSchema.parse((await serve(aSource([node]))('/status')).json());
  expect(report.nodes[0]).toMatchObject({ address: null, rttMs: null, pollAgeMs: null, version: null });
});

it('reports itself: age, readiness, alarms and Envoy', async () => {
  const alarm = { code: 'shrink_guard', message: 'held back', since: '2026-01-01T00:00:01.000Z' } as const;
  const source = aSource([], {
    alarms: () => [alarm],
    unreadyReasons: () => ['draining'],
    envoy: () => ({ version: '1.40.0', pid: 42, restarts: 1 }),
  });
  expect(statusSchema.parse((await serve(source)('/status')).json())).toMatchObject({
    version: '1.2.3',
    uptimeSeconds: 10,
    listen: '0.0.0.0:11434',
    admin: '127.0.0.1:9411',
    isReady: false,
    unready: ['draining'],
    alarms: [alarm],
    envoy: { version: '1.40.0', pid: 42, restarts: 1 },
  });
});

it('shows the last decisions, as many as asked for, and each by its id', async () => {
  const all = [aDecision('r1-3'), aDecision('r1-2'), aDecision('r1-1')];
  const get = serve(
    aSource([], {
      decisions: (limit) => all.slice(0, limit),
      decision: (id) => all.find((decision) => decision.id === id),
    }),
  );
  expect((await get('/decisions?limit=2')).json()).toMatchObject({
    decisions: [{ id: 'r1-3' }, { id: 'r1-2' }],
  });
  expect((await get('/decisions/r1-1')).json()).toMatchObject({ id: 'r1-1', model: 'alpha:latest' });
  expect((await get('/decisions/r1-9')).statusCode).toBe(404);
  expect((await get('/status')).json()).toMatchObject({ decisions: [{ id: 'r1-3' }, {}, {}] });
});

it('says of a decision whether it comes out the same from its input, which it answers too', async () => {
  const recorder = new SituationRecorder(situation(snapshot(warmNode('n1'), node('n2'))));
  const ranking = rank(request(), recorder.situation);
  const input = { request: request(), situation: recorder.taped() };
  const get = serve(
    aSource([], {
      decision: (id) => aDecision(id, { ranking: id === 'other' ? { nodes: [], rejected: [] } : ranking }),
      decisionInput: (id) => (id === 'old' ? undefined : input),
    }),
  );
  expect((await get('/decisions/r1-1')).json()).toMatchObject({ id: 'r1-1', replay: 'same' });
  expect((await get('/decisions/old')).json()).toMatchObject({ replay: 'not_kept' });
  const reply = await get('/decisions/r1-1/input');
  expect(replayDecision(inputFromJson(reply.body))).toEqual(ranking);
  expect((await get('/decisions/old/input')).statusCode).toBe(404);
});

it('reports the line, the shadow policy, the guard and the recording', async () => {
  const source = aSource([], {
    line: () => ({
      length: 2,
      bytes: 700,
      oldestMs: 1_200,
      byClass: { interactive: 0, normal: 2, batch: 0 },
      byModel: [{ name: 'alpha:latest', waiting: 2, oldestMs: 1_200 }],
      byCaller: [{ name: 'chat', waiting: 2, oldestMs: 1_200 }],
      byReason: { slots_busy: 2, loading: 0, no_room: 0 },
    }),
    shadow: () => ({
      policy: 'herd-score',
      isOff: false,
      asked: 4,
      agreed: 3,
      meanRegretSeconds: 0.5,
      realSecondsAgreed: 1,
      realSecondsDiffered: undefined,
    }),
    guard: () => ({ refusals: 3, refusedBodies: 1 }),
    recording: () => ({ written: 10, dropped: 0 }),
  });
  expect(statusSchema.parse((await serve(source)('/status')).json())).toMatchObject({
    line: { length: 2, oldestMs: 1_200, byModel: [{ name: 'alpha:latest', waiting: 2 }] },
    shadow: { policy: 'herd-score', agreed: 3, realSecondsDiffered: null },
    guard: { refusals: 3, refusedBodies: 1 },
    recording: { written: 10, dropped: 0 },
  });
});

it('reports what was learnt of the models of a node', async () => {
  const estimate = (value: number) => ({
    value,
    spread: 0,
    weight: 3,
    at: Date.parse('2026-01-01T00:00:05Z'),
  });
  const figures = { ...NO_FIGURES, loadMs: estimate(8_000), answerRates: [estimate(50)], slots: 2 };
  const fresh = aNode('gpu1', { models: [aModel('alpha:latest'), aModel('beta:7b')] });
  const learnt = { ...fresh.learnt, figures: new Map([['alpha:latest *', figures]]) };
  const nodes = [{ ...fresh, learnt }];
  const report = statusSchema.parse((await serve(aSource(nodes))('/status')).json());
  expect(report.nodes[0]?.learnt).toMatchObject([
    {
      model: 'alpha:latest',
      loadSeconds: 8,
      promptTokensPerSecond: null,
      answerTokensPerSecond: [50],
      slots: 2,
      samples: 3,
      at: '2026-01-01T00:00:05.000Z',
    },
  ]);
});

it.each(['limit=0', 'limit=-1', 'limit=1e9', 'limit=NaN', 'limit=2&limit=3', 'limit=1;DROP', 'sort=model'])(
  'S12: refuses the query %s',
  async (query) => {
    expect((await serve()(`/decisions?${query}`)).statusCode).toBe(400);
  },
);

it('explains with the query as typed', async () => {
  const asked: ExplainQuery[] = [];
  const get = serve(
    aSource([], {
      explain: (query) => {
        asked.push(query);
        return {
          model: 'alpha:latest',
          target: 'alpha:latest',
          path: query.path,
          refusal: undefined,
          ranking: { nodes: [], rejected: [] },
          waiting: 0,
        };
      },
    }),
  );
  expect((await get('/explain?model=Alpha')).json()).toMatchObject({ model: 'alpha:latest' });
  await get('/explain?model=hf.co%2Fa%2Fb&num_ctx=8192&path=/v1/embeddings');
  expect(asked).toEqual([
    { model: 'Alpha', numCtx: undefined, path: '/api/chat' },
    { model: 'hf.co/a/b', numCtx: 8192, path: '/v1/embeddings' },
  ]);
});

it.each(['', '?model=', '?model=a&num_ctx=0', '?model=a&num_ctx=1.5', '?model=a&model=b', '?model=a&x=1'])(
  'refuses to explain %j',
  async (query) => {
    const reply = await serve()(`/explain${query}`);
    expect(reply.statusCode).toBe(400);
    expect(reply.json()).toHaveProperty('error');
  },
);

it('maps refusals by their code and tells nothing of failures inside', async () => {
  const onError = vi.fn();
  let error: Error = new RouterError('invalid_model_name', 'invalid model name');
  const get = serve(
    aSource([], {
      explain: () => {
        throw error;
      },
    }),
    { onError },
  );
  const refused = await get('/explain?model=x');
  expect([refused.statusCode, refused.json()]).toEqual([400, { error: 'invalid model name' }]);
  expect(onError).not.toHaveBeenCalled();
  error = new Error('secret cause at 10.0.0.1');
  const failed = await get('/explain?model=x');
  expect([failed.statusCode, failed.json()]).toEqual([500, { error: 'internal error' }]);
  expect(onError).toHaveBeenCalledWith(error);
});

it('S08: a request without a Host is refused too, over a real socket', async () => {
  const server = createAdminServer(aSource([]), {
    address: '127.0.0.1:0',
    allowedHosts: [],
    metrics: { contentType: 'text/plain', render: async () => '' },
    onError: () => {},
  });
  closing.push(() => server.close());
  const url = await server.listen({ host: '127.0.0.1', port: 0 });
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  socket.end('GET /status HTTP/1.0\r\n\r\n');
  expect(await text(socket)).toMatch(/^HTTP\/1\.[01] 421 /);
  const reply = await fetch(`${url}/healthz`);
  expect([reply.status, await reply.json()]).toEqual([200, { status: 'ok' }]);
});

it('G8: tells of every node of a large fleet, and leaves room for others while it does', async () => {
  const nodes = Array.from({ length: 1_000 }, (_, i) => aNode(`gpu${i}`));
  let turns = 0;
  let isDone = false;
  const count = (): void => {
    turns += 1;
    if (!isDone) setImmediate(count);
  };
  setImmediate(count);
  const report = statusSchema.parse((await serve(aSource(nodes))('/status')).json());
  isDone = true;
  expect(report.nodes.map(({ name }) => name)).toEqual(nodes.map(({ spec }) => spec.id));
  expect(turns).toBeGreaterThan(15);
});
