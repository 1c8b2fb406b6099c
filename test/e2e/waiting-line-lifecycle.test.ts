import { renameSync, writeFileSync } from 'node:fs';
import { connect } from 'node:http2';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { realEnvoy } from '../support/envoy.ts';
import { figure } from '../support/figures.ts';
import { type Answer, connectRaw, post, type RawConnection, rawRequest } from '../support/http-client.ts';
import { describeReal } from '../support/require-real.ts';
import { pause, waitFor } from '../support/wait-for.ts';
import { type Arena, BRISK, closeArenas, GENERATE, MODEL, startArena } from './faults/arena.ts';
import { mostAtOnce } from './faults/most-at-once.ts';

const occupants: RawConnection[] = [];

/** One node with one slot, and somebody who keeps it busy until told to stop. */
async function busyArena(config: Record<string, unknown> = {}) {
  const arena = await startArena({
    count: 1,
    slots: 1,
    common: { slots: 1, tokensPerSecond: 1_000, maxQueue: 1_000 },
    config,
  });
  const occupant = await connectRaw(arena.url);
  occupants.push(occupant);
  occupant.write(
    rawRequest('POST', GENERATE, {
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ model: MODEL, prompt: 'hello', options: { num_predict: 1_000_000 } }),
    }),
  );
  await occupant.waitFor(/"response"/);
  arena.fleet.clearRequests();
  return { arena, release: () => occupant.reset() };
}

const MESSAGE = expect.stringContaining('server is shutting down, please try again');
/** Who waited in vain, in the words of each API. */
const SHUTTING_DOWN = [
  { path: '/api/chat', body: { error: MESSAGE } },
  {
    path: '/v1/chat/completions',
    body: { error: { message: MESSAGE, type: 'api_error', param: null, code: 'shutting_down' } },
  },
  {
    path: '/v1/messages',
    body: {
      type: 'error',
      error: { type: 'overloaded_error', message: MESSAGE },
      request_id: expect.any(String),
    },
  },
];

function crowd(
  arena: Arena,
  count: number,
  headers: Record<string, string> = {},
  tokens = 2,
): Promise<Answer>[] {
  const body = { model: MODEL, prompt: 'hello', options: { num_predict: tokens } };
  return Array.from({ length: count }, () => post(arena.url + GENERATE, body, { headers }));
}

async function untilWaiting(arena: Arena, count: number): Promise<void> {
  await waitFor(
    `${count} in the line`,
    async () => (await arena.warmpath.metric('warmpath_waiting_requests')) === count,
    { timeoutMs: 15_000 },
  );
}

async function statuses(answers: readonly Promise<Answer>[]): Promise<string> {
  const counts = new Map<number, number>();
  for (const { status } of await Promise.all(answers)) counts.set(status, (counts.get(status) ?? 0) + 1);
  return [...counts].map(([status, count]) => `${count} x ${status}`).join(', ');
}

describeReal(await realEnvoy(), 'while requests wait', () => {
  afterEach(async () => {
    for (const occupant of occupants.splice(0)) occupant.reset();
    await closeArenas();
  });

  it('F20: the control plane may be killed, and 500 of them go on to the nodes', async () => {
    const { arena, release } = await busyArena();
    const waiting = crowd(arena, 500);
    await untilWaiting(arena, 500);
    expect(arena.fleet.inference).toEqual([]);
    process.kill(arena.warmpath.pids.controlPlane, 'SIGKILL');
    await waitFor('the node to be asked', () => arena.fleet.inference.length > 0);
    release();
    expect(await statuses(waiting)).toBe('500 x 200');
    await arena.settled();
  });

  it('G4: the control plane may hang, and they go on to the nodes long before their time is up', async () => {
    const { arena, release } = await busyArena({ waiting: { maxWait: '5m' } });
    const waiting = crowd(arena, 20);
    await untilWaiting(arena, 20);
    const { controlPlane } = arena.warmpath.pids;
    process.kill(controlPlane, 'SIGSTOP');
    try {
      await waitFor('the node to be asked', () => arena.fleet.inference.length === 20, { timeoutMs: 30_000 });
      release();
      expect(await statuses(waiting)).toBe('20 x 200');
    } finally {
      process.kill(controlPlane, 'SIGCONT');
    }
    await arena.settled();
  });

  it('F12: the control plane may be told to end, and still sends them when their turn comes', async () => {
    const { arena, release } = await busyArena();
    const waiting = crowd(arena, 20);
    await untilWaiting(arena, 20);
    const { controlPlane } = arena.warmpath.pids;
    process.kill(controlPlane, 'SIGTERM');
    await pause(2_500);
    expect(arena.fleet.inference).toEqual([]);
    release();
    expect(await statuses(waiting)).toBe('20 x 200');
    await waitFor('the next control plane', async () => arena.warmpath.pids.controlPlane !== controlPlane);
    await arena.settled();
  });

  it('F12: all of Warmpath may be told to end, and they are served before it does', async () => {
    const { arena, release } = await busyArena();
    const waiting = crowd(arena, 20);
    await untilWaiting(arena, 20);
    arena.warmpath.process.kill('SIGTERM');
    await pause(1_500);
    release();
    expect(await statuses(waiting)).toBe('20 x 200');
    expect(await arena.warmpath.process.exited).toMatchObject({ code: 0 });
  });

  it('all of Warmpath may be told to end, and whose turn does not come before is told so while others still run', async () => {
    const { arena } = await busyArena({ waiting: { maxWait: '5m' }, envoy: { drainTime: '8s' } });
    let isCut = false;
    void occupants[0]?.closed.then(() => {
      isCut = true;
    });
    const ask = (path: string) =>
      post(arena.url + path, { model: MODEL, max_tokens: 5, messages: [{ role: 'user', content: 'hello' }] });
    const waiting = SHUTTING_DOWN.map(async ({ path, body }) => ({ path, body, answer: await ask(path) }));
    await untilWaiting(arena, SHUTTING_DOWN.length);
    arena.warmpath.process.kill('SIGTERM');
    await arena.warmpath.process.waitForOutput(/stopping/);
    const late = ask('/api/chat');
    for (const { path, body, answer } of await Promise.all(waiting)) {
      expect(answer.status, path).toBe(503);
      expect(answer.headers, path).toMatchObject({ 'retry-after': '5', 'x-warmpath-error': 'shutting_down' });
      expect(answer.json(), path).toEqual(body);
    }
    expect((await late).headers).toMatchObject({ 'x-warmpath-error': 'shutting_down' });
    expect(isCut).toBe(false);
    expect(arena.fleet.inference).toEqual([]);
    expect(await arena.warmpath.process.exited, arena.warmpath.output).toMatchObject({ code: 0 });
  });

  it('a configuration under which nobody waits any more strands nobody', async () => {
    const { arena, release } = await busyArena();
    const waiting = crowd(arena, 10);
    await untilWaiting(arena, 10);
    const nodes = arena.fleet.specs.map((spec) => ({ ...spec, slots: 1 }));
    const file = join(arena.warmpath.stateDir, 'warmpath.yaml');
    writeFileSync(`${file}.new`, stringify({ ...BRISK, nodes, waiting: { maxWait: '0s', maxRequests: 1 } }));
    renameSync(`${file}.new`, file);
    await waitFor(
      'the reload',
      async () => (await arena.warmpath.metric('warmpath_config_reloads_total')) > 0,
    );
    const direct = crowd(arena, 3);
    await waitFor('newcomers to go on to the node', () => arena.fleet.inference.length === 3);
    await untilWaiting(arena, 10);
    release();
    expect(await statuses([...waiting, ...direct])).toBe('13 x 200');
    await arena.settled();
  });

  it('a fleet that dies is told to them within seconds, and to none of them as a timeout', async () => {
    const { arena } = await busyArena({ waiting: { maxWait: '5m' } });
    const waiting = crowd(arena, 50);
    await untilWaiting(arena, 50);
    const diedAt = performance.now();
    arena.fleet.nodes[0]?.kill();
    expect(await statuses(waiting)).toBe('50 x 503');
    figure('fleet dies to all 50 waiting are answered', { ms: performance.now() - diedAt });
    await arena.settled();
  });

  it('a node that joins takes as many as it has slots, at once', async () => {
    const { arena, release } = await busyArena();
    // Not so short that a node is given a few more.
    const waiting = crowd(arena, 30, {}, 60);
    await untilWaiting(arena, 30);
    const nodes = arena.fleet.specs.map((spec) => ({ ...spec, slots: 1 }));
    const other = await startArena({ count: 1, slots: 4, common: { slots: 4 } });
    const joined = other.fleet.specs.map((spec) => ({ ...spec, name: 'joined', slots: 4 }));
    const file = join(arena.warmpath.stateDir, 'warmpath.yaml');
    writeFileSync(`${file}.new`, stringify({ ...BRISK, nodes: [...nodes, ...joined] }));
    renameSync(`${file}.new`, file);
    expect(await statuses(waiting)).toBe('30 x 200');
    expect(arena.fleet.inference).toEqual([]);
    const [node] = other.fleet.nodes;
    expect(node?.inferenceRequests.length).toBe(30);
    expect(mostAtOnce(node?.inferenceRequests ?? [])).toBeLessThanOrEqual(4);
    release();
    await arena.settled();
  });

  it('G12: whatever they do, the gauges of the line end at zero', async () => {
    const { arena, release } = await busyArena();
    const session = connect(arena.url);
    const streams = Array.from({ length: 30 }, () => {
      const stream = session.request({
        ':method': 'POST',
        ':path': GENERATE,
        'content-type': 'application/json',
      });
      stream.on('error', () => {});
      stream.end(JSON.stringify({ model: MODEL, prompt: 'hello' }));
      return stream;
    });
    const late = crowd(arena, 10, { 'x-warmpath-deadline': '1s' });
    const patient = crowd(arena, 10, { 'x-warmpath-class': 'batch' });
    await untilWaiting(arena, 50);
    expect(await arena.warmpath.metric('warmpath_waiting_requests', { class: 'batch' })).toBe(10);
    // By HTTP/2 a client hangs up on one request and keeps its connection.
    for (const stream of streams) stream.close(8);
    expect(await statuses(late)).toBe('10 x 503');
    await untilWaiting(arena, 10);
    release();
    expect(await statuses(patient)).toBe('10 x 200');
    session.close();
    await arena.settled();
    for (const name of ['requests', 'requests_by_reason', 'requests_by_model', 'requests_by_caller', 'bytes'])
      expect([name, await arena.warmpath.metric(`warmpath_waiting_${name}`)]).toEqual([name, 0]);
    expect(await arena.warmpath.metric('warmpath_waiting_oldest_seconds')).toBe(0);
    expect(arena.fleet.inference).toHaveLength(10);
  });
});
