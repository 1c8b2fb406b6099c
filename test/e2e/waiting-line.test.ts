import { afterEach, expect, it } from 'vitest';
import { realEnvoy } from '../support/envoy.ts';
import { figure } from '../support/figures.ts';
import { type Answer, connectRaw, post, type RawConnection, rawRequest } from '../support/http-client.ts';
import { describeReal } from '../support/require-real.ts';
import { pause, waitFor } from '../support/wait-for.ts';
import { type Arena, closeArenas, GENERATE, MODEL, startArena } from './faults/arena.ts';
import { mostAtOnce } from './faults/most-at-once.ts';

const occupants: RawConnection[] = [];
const BODY = { model: MODEL, prompt: 'hello', stream: true };

/** One node with one slot, and somebody who keeps it busy until told to stop. */
async function busyArena(config: Record<string, unknown> = {}) {
  const arena = await startArena({ count: 1, slots: 1, common: { slots: 1, tokensPerSecond: 100 }, config });
  const occupant = await connectRaw(arena.url);
  occupants.push(occupant);
  occupant.write(
    rawRequest('POST', GENERATE, {
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ ...BODY, options: { num_predict: 100_000 } }),
    }),
  );
  await occupant.waitFor(/"response"/);
  arena.fleet.clearRequests();
  return { arena, release: () => occupant.reset() };
}

function generate(arena: Arena, headers: Record<string, string> = {}, prompt = 'hello'): Promise<Answer> {
  return post(arena.url + GENERATE, { ...BODY, prompt, options: { num_predict: 2 } }, { headers });
}

/** Streams of Envoy's that the control plane holds: the occupant's, and those that wait. */
async function untilStreams(arena: Arena, count: number): Promise<void> {
  await waitFor(
    `${count} streams`,
    async () => (await arena.warmpath.metric('warmpath_ext_proc_streams')) === count,
    {
      timeoutMs: 10_000,
    },
  );
}

describeReal(await realEnvoy(), 'the waiting line', () => {
  afterEach(async () => {
    for (const occupant of occupants.splice(0)) occupant.reset();
    await closeArenas();
  });

  it('keeps a request for longer than Envoy waits by itself, and sends it as soon as the slot is free', async () => {
    const { arena, release } = await busyArena();
    const waiting = generate(arena);
    await pause(3_500);
    expect(arena.fleet.inference).toEqual([]);
    release();
    const freedAt = performance.now();
    await waitFor('the node to be asked', () => arena.fleet.inference.length === 1, { intervalMs: 2 });
    figure('slot freed to next request at the node', { ms: performance.now() - freedAt });
    const answer = await waiting;
    expect(answer.status).toBe(200);
    expect(answer.headers['x-warmpath-decision']).toBeDefined();
  });

  it('F01: a client that hangs up while it waits leaves no trace at any node', async () => {
    const { arena, release } = await busyArena();
    const name = arena.fleet.nodes[0]?.name ?? '';
    const clients = await Promise.all(Array.from({ length: 100 }, () => connectRaw(arena.url)));
    const request = rawRequest('POST', GENERATE, {
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(BODY),
    });
    for (const client of clients) client.write(request);
    await untilStreams(arena, 101);
    expect((await arena.node(name)).inflight).toBe(1);
    const gone = await arena.warmpath.metric('warmpath_requests_total', { end: 'client_gone' });
    const leftAt = performance.now();
    for (const client of clients) client.reset();
    await untilStreams(arena, 1);
    figure('F01 100 clients hang up to none waits', { ms: performance.now() - leftAt });
    await waitFor('all to be counted', async () => {
      return (await arena.warmpath.metric('warmpath_requests_total', { end: 'client_gone' })) - gone === 100;
    });
    expect((await arena.node(name)).inflight).toBe(1);
    expect(arena.fleet.inference).toEqual([]);
    release();
    await arena.settled();
    expect(arena.fleet.inference).toEqual([]);
  });

  it('sends the more urgent first, whoever came first', async () => {
    const { arena, release } = await busyArena();
    const order: string[] = [];
    const asked: Promise<unknown>[] = [];
    for (const [i, name] of ['batch', 'normal', 'interactive'].entries()) {
      asked.push(generate(arena, { 'x-warmpath-class': name }, name).then(() => order.push(name)));
      await untilStreams(arena, 2 + i);
    }
    release();
    await Promise.all(asked);
    expect(order).toEqual(['interactive', 'normal', 'batch']);
  });

  it('knows clients by their keys, which no node sees', async () => {
    const key = 'a-key-of-some-length';
    const { arena, release } = await busyArena({ clients: [{ name: 'desk', key, class: 'interactive' }] });
    const order: string[] = [];
    const headers = [{}, { authorization: `Bearer ${key}` }, { 'x-api-key': key }];
    const asked = headers.map(async (each, i) => {
      await untilStreams(arena, 2 + i);
      const answered = generate(arena, each as Record<string, string>).then(() => order.push(`${i}`));
      return () => answered;
    });
    const first = generate(arena).then(() => order.push('first'));
    await untilStreams(arena, 5);
    release();
    await Promise.all([first, ...asked.map(async (each) => (await each)())]);
    expect(order.slice(0, 2).sort()).toEqual(['1', '2']);
    const sent = JSON.stringify(arena.fleet.inference.map((each) => each.headers));
    expect(sent).not.toContain(key);
    expect(arena.warmpath.output).not.toContain(key);
  });

  it('never has more running on a node than it has slots', async () => {
    const arena = await startArena({ count: 2, slots: 2, common: { slots: 2 } });
    // Not so short that a node is given a few more.
    const body = { ...BODY, options: { num_predict: 60 } };
    const answers = await Promise.all(Array.from({ length: 40 }, () => post(arena.url + GENERATE, body)));
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    for (const node of arena.fleet.nodes) expect(mostAtOnce(node.inferenceRequests)).toBeLessThanOrEqual(2);
    await arena.settled();
  });

  it('tells what clients say of themselves to no node', async () => {
    const arena = await startArena({ count: 1 });
    await generate(arena, {
      'x-warmpath-class': 'batch',
      'x-warmpath-deadline': '5',
      'x-warmpath-other': '1',
    });
    const [seen] = arena.fleet.inference;
    const names = Object.keys(seen?.headers ?? {});
    expect(names.filter((name) => /warmpath-(class|deadline|other)|external-address/.test(name))).toEqual([]);
  });

  it('refuses who waited for too long in the words of each API', async () => {
    const { arena } = await busyArena();
    const refusals = [
      {
        path: '/v1/chat/completions',
        status: 429,
        error: { error: { type: 'rate_limit_error', code: 'no_slot_in_time' } },
      },
      { path: '/v1/messages', status: 429, error: { type: 'error', error: { type: 'rate_limit_error' } } },
      {
        path: '/api/chat',
        status: 503,
        error: { error: expect.stringContaining('server busy, please try again') },
      },
    ];
    for (const { path, status, error } of refusals) {
      const body = { model: MODEL, max_tokens: 5, messages: [{ role: 'user', content: 'hello' }] };
      const answer = await post(arena.url + path, body, { headers: { 'x-warmpath-deadline': '300ms' } });
      expect(answer.status, path).toBe(status);
      expect(answer.json(), path).toMatchObject(error);
      const retryAfter = Number(answer.headers['retry-after']);
      expect(Number.isInteger(retryAfter) && retryAfter >= 1 && retryAfter <= 600, path).toBe(true);
      expect(answer.totalMs, path).toBeGreaterThan(250);
    }
    expect(arena.fleet.inference).toEqual([]);
  });

  it('refuses at once where the line is full', async () => {
    const { arena, release } = await busyArena({ waiting: { maxRequests: 2 } });
    const waiting = [generate(arena), generate(arena)];
    await untilStreams(arena, 3);
    const answer = await generate(arena);
    expect(answer.status).toBe(503);
    expect(answer.headers['x-warmpath-error']).toBe('line_full');
    expect(answer.json()).toEqual({ error: expect.stringContaining('2 requests are waiting already') });
    release();
    expect((await Promise.all(waiting)).map(({ status }) => status)).toEqual([200, 200]);
  });

  it('waits at the node, as without a line, where nobody shall wait here', async () => {
    const { arena, release } = await busyArena({ waiting: { maxWait: '0s' } });
    const waiting = generate(arena);
    await waitFor('the node to be asked', () => arena.fleet.inference.length === 1);
    release();
    expect((await waiting).status).toBe(200);
  });
});
