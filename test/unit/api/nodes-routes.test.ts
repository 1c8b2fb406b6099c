import { afterEach, describe, expect, it } from 'vitest';
import { nodesSchema } from '../../../src/api/nodes-schema.ts';
import { statusSchema } from '../../../src/api/status-schema.ts';
import type { NodeSpec } from '../../../src/fleet/types.ts';
import { configured } from '../app/drains/bench.ts';
import { type NodesServer, type NodesServerOptions, startNodesServer } from './nodes-server.ts';

const TOKEN = '0123456789abcdef';
let server: NodesServer | undefined;
afterEach(async () => {
  await server?.close();
  server = undefined;
});

interface Ask {
  readonly method?: 'POST' | 'DELETE' | 'GET' | 'PUT' | 'OPTIONS';
  readonly headers?: Record<string, string | undefined>;
  readonly body?: unknown;
}

const USUAL = { 'x-warmpath-admin': '1', 'content-type': 'application/json' };

async function serve(options: NodesServerOptions = {}) {
  const started = await startNodesServer(options);
  server = started;
  const ask = async (path: string, { method = 'POST', headers = USUAL, body = {} }: Ask = {}) => {
    const entries = Object.entries(headers).filter((each): each is [string, string] => each[1] !== undefined);
    const reply = await fetch(`${started.url}${path}`, {
      method,
      headers: entries,
      ...(method === 'GET' || method === 'DELETE'
        ? {}
        : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await reply.text();
    return { status: reply.status, body: text === '' ? undefined : JSON.parse(text), headers: reply.headers };
  };
  const audits = () =>
    started.bench.log.lines.flatMap(({ fields }) =>
      'audit' in fields && String(fields.audit).startsWith('operator_') ? [fields] : [],
    );
  return { ...started, ask, audits };
}

describe('reading', () => {
  it('lists every known node by name, members or not, without tokens', async () => {
    const nodes = configured('gpu2', 'gpu1').map((node) => ({ ...node, token: 'very-secret', drain: true }));
    const { ask, bench } = await serve({ nodes });
    await bench.find('found');
    bench.inflight.set('found', 3);
    const { status, body } = await ask('/nodes', { method: 'GET', headers: {} });
    expect(status).toBe(200);
    const report = nodesSchema.parse(body);
    expect(report.nodes.map(({ name, state, source, inflight }) => [name, state, source, inflight])).toEqual([
      ['found', 'member', 'file', 3],
      ['gpu1', 'member', 'config', 0],
      ['gpu2', 'member', 'config', 0],
    ]);
    expect(report.nodes[1]).toMatchObject({
      status: 'draining',
      drains: [{ cause: 'configured', since: null, note: '', removeAt: null }],
    });
    expect(JSON.stringify(body)).not.toContain('very-secret');
  });

  it('says of a node that its source no longer names that it leaves, not that it was configured to drain', async () => {
    const { ask, bench, clock } = await serve();
    await bench.find('found');
    bench.inflight.set('found', 1);
    bench.registry.forget('file:x');
    await clock.advance(1_000);
    const { body } = await ask('/nodes', { method: 'GET', headers: {} });
    expect(nodesSchema.parse(body).nodes.find(({ name }) => name === 'found')).toMatchObject({
      state: 'gone',
      status: 'draining',
      drains: [],
      problem: 'is no longer named by its source; it leaves when its requests have ended',
    });
  });

  it('lists thousands in turn, with room for requests in between', async () => {
    const many = Array.from({ length: 3_000 }, (_, i) => `n${String(i).padStart(4, '0')}`);
    const nodes = many.map((id, i) => ({
      ...configured(id)[0],
      url: { scheme: 'http' as const, host: `10.${i >> 8}.${i & 255}.1`, port: 1 },
    })) as NodeSpec[];
    const { ask } = await serve({ nodes });
    let turns = 0;
    let isOver = false;
    const count = (): void => {
      turns += 1;
      if (!isOver) setImmediate(count);
    };
    setImmediate(count);
    const { body } = await ask('/nodes', { method: 'GET', headers: {} });
    isOver = true;
    expect(nodesSchema.parse(body).nodes.map(({ name }) => name)).toEqual(many);
    expect(turns).toBeGreaterThan(25);
  });

  it('needs no token where changes do', async () => {
    const { ask } = await serve({ token: () => TOKEN, adminHost: '0.0.0.0' });
    expect((await ask('/nodes', { method: 'GET', headers: {} })).status).toBe(200);
  });
});

describe('changing', () => {
  it('drains and undrains, answers the node as it is then, and shows it in the status', async () => {
    const { ask, bench, url, audits } = await serve();
    bench.inflight.set('gpu1', 2);
    const drained = await ask('/nodes/gpu1/drain', { body: { note: 'new GPU' } });
    expect(drained.status).toBe(200);
    expect(drained.body.node).toMatchObject({
      name: 'gpu1',
      status: 'draining',
      inflight: 2,
      drains: [{ cause: 'operator', note: 'new GPU', removeAt: null }],
    });
    const status = statusSchema.parse(await (await fetch(`${url}/status`)).json());
    expect(status.nodes[0]).toMatchObject({
      name: 'gpu1',
      status: 'draining',
      inflight: 2,
      drains: [{ cause: 'operator', note: 'new GPU' }],
    });
    const undrained = await ask('/nodes/gpu1/undrain');
    expect(undrained.body.node).toMatchObject({ name: 'gpu1', drains: [] });
    expect(audits()).toMatchObject([
      { audit: 'operator_drain', node: 'gpu1', remote: '127.0.0.1', note: 'new GPU' },
      { audit: 'operator_undrain', node: 'gpu1', remote: '127.0.0.1' },
    ]);
  });

  it('removes a found node, and approves it again', async () => {
    const { ask, bench, clock } = await serve();
    await bench.find('found');
    const removed = await ask('/nodes/found', { method: 'DELETE', headers: { 'x-warmpath-admin': '1' } });
    expect([removed.status, removed.body.node.state]).toEqual([200, 'removed']);
    expect(bench.fleet.nodes.has('found')).toBe(false);
    expect((await ask('/nodes/found/approve')).status).toBe(200);
    await clock.advance(3_000);
    expect(bench.registry.get('found')?.state).toBe('member');
  });

  it('removes after a time', async () => {
    const { ask, bench, clock } = await serve();
    await bench.find('found');
    const { body } = await ask('/nodes/found/drain', { body: { removeAfterMs: 60_000 } });
    const removeAt = Date.parse(body.node.drains[0].removeAt);
    expect(removeAt - clock.date().getTime()).toBe(60_000);
  });

  it.each([
    ['/nodes/nobody/drain', 404, 'no node is named nobody; warmpath nodes list shows those there are'],
    ['/nodes/nobody/approve', 404, 'no node is named nobody; warmpath nodes list shows those there are'],
    ['/nodes/gpu1/undrain', 409, 'node gpu1 is not drained'],
    ['/nodes/gpu1/approve', 409, 'node gpu1 is in the configuration and needs no approval'],
    ['/nodes/a%20b/drain', 400, 'id: is no name of a node'],
    ['/nodes/gpu1/explode', 405, 'this interface is read-only'],
    ['/nodes', 405, 'this interface is read-only'],
    ['/status', 405, 'this interface is read-only'],
    ['/nodes/gpu1', 404, 'not found'],
  ])('answers POST %s with %i', async (path, status, error) => {
    const { ask } = await serve();
    expect(await ask(path)).toMatchObject({ status, body: { error } });
  });

  it('says where a configured node is to be removed', async () => {
    const { ask } = await serve();
    const refused = await ask('/nodes/gpu1', { method: 'DELETE', headers: { 'x-warmpath-admin': '1' } });
    expect(refused.status).toBe(409);
    expect(refused.body.error).toContain('take it out of the configuration file');
  });

  it.each([
    [{ note: 5 }],
    [{ note: 'x'.repeat(201) }],
    [{ removeAfterMs: -1 }],
    [{ removeAfterMs: 1e12 }],
    [{ removeAfterMs: '10m' }],
    [{ reason: 'x' }],
    [[]],
    ['{'],
    [''],
    [`{"note":"${'x'.repeat(5_000)}"}`],
  ])('refuses the body %j and drains nothing', async (body) => {
    const { ask, bench } = await serve();
    const { status } = await ask('/nodes/gpu1/drain', { body });
    expect(status).toBeGreaterThanOrEqual(400);
    expect(status).toBeLessThan(500);
    expect(bench.status('gpu1')).not.toBe('draining');
  });

  it('says of a note that is far too long that it is', async () => {
    const { ask } = await serve();
    const { status, body } = await ask('/nodes/gpu1/drain', { body: { note: 'x'.repeat(5_000) } });
    expect(status).toBe(413);
    expect(body.error).toBe('the request is too large');
  });

  it('answers 503 while the store does not keep it', async () => {
    const { ask, store, bench } = await serve();
    store.putDocument = () => Promise.reject(new Error('gone'));
    const { status, body } = await ask('/nodes/gpu1/drain');
    expect(status).toBe(503);
    expect(body.error).toContain('nothing was changed');
    expect(bench.status('gpu1')).not.toBe('draining');
  });
});

describe('S07, S08: no web page can change anything', () => {
  it.each<[string, Record<string, string | undefined>, number]>([
    [
      'a form of another site',
      { 'content-type': 'application/x-www-form-urlencoded', origin: 'http://evil.com' },
      403,
    ],
    ['a script of another site', { ...USUAL, origin: 'http://evil.com' }, 403],
    ['a page of this machine', { ...USUAL, origin: 'http://127.0.0.1:9411' }, 403],
    ['an opaque origin', { ...USUAL, origin: 'null' }, 403],
    ['a page that hides its origin', { ...USUAL, 'sec-fetch-site': 'cross-site' }, 403],
    ['a request without the header', { 'content-type': 'application/json' }, 403],
    ['another value of the header', { ...USUAL, 'x-warmpath-admin': 'yes' }, 403],
    ['a body that a form can send', { ...USUAL, 'content-type': 'text/plain' }, 415],
    ['a body without a type', { ...USUAL, 'content-type': '' }, 415],
  ])('%s is refused', async (_, headers, status) => {
    const { ask, bench } = await serve();
    expect((await ask('/nodes/gpu1/drain', { headers })).status).toBe(status);
    expect(bench.status('gpu1')).not.toBe('draining');
    expect(bench.log.count('warn')).toBe(1);
  });

  it('a question beforehand is not answered', async () => {
    const { ask } = await serve();
    const { status, headers } = await ask('/nodes/gpu1/drain', { method: 'OPTIONS' });
    expect(status).toBe(405);
    expect(headers.get('access-control-allow-origin')).toBeNull();
  });
});

describe('the admin token', () => {
  const withToken = (token: string) => ({ headers: { ...USUAL, authorization: `Bearer ${token}` } });

  it('is needed wherever other machines reach the interface', async () => {
    const { ask, bench } = await serve({ adminHost: '0.0.0.0' });
    const { status, body } = await ask('/nodes/gpu1/drain', withToken(TOKEN));
    expect(status).toBe(403);
    expect(body.error).toContain('WARMPATH_ADMIN_TOKEN');
    expect(bench.status('gpu1')).not.toBe('draining');
  });

  it.each(['127.0.0.1', '0.0.0.0'])(
    'where it is set, only who has it changes anything (%s)',
    async (adminHost) => {
      const { ask, audits } = await serve({ adminHost, token: () => TOKEN });
      for (const headers of [USUAL, withToken('wrong').headers, withToken(`${TOKEN}x`).headers]) {
        const { status, body } = await ask('/nodes/gpu1/drain', { headers });
        expect(status).toBe(401);
        expect(body.error).not.toContain(TOKEN);
      }
      expect((await ask('/nodes/gpu1/drain', withToken(TOKEN))).status).toBe(200);
      expect(JSON.stringify(audits())).not.toContain(TOKEN);
    },
  );

  it('may change while the server runs', async () => {
    let token = TOKEN;
    const { ask } = await serve({ token: () => token });
    token = 'fedcba9876543210';
    expect((await ask('/nodes/gpu1/drain', withToken(TOKEN))).status).toBe(401);
    expect((await ask('/nodes/gpu1/drain', withToken(token))).status).toBe(200);
  });
});
