import { afterEach, expect, it } from 'vitest';
import { realEnvoy } from '../support/envoy.ts';
import { figure, quantile } from '../support/figures.ts';
import { connectRaw, rawRequest, send } from '../support/http-client.ts';
import { describeReal } from '../support/require-real.ts';
import { pause, waitFor } from '../support/wait-for.ts';
import { ask, closeArenas, GENERATE, MODEL, startArena } from './faults/arena.ts';
import { failures, generateBody, Load } from './faults/load.ts';
import { rssMib } from './faults/processes.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

const request = (tokens: number, path = GENERATE): string =>
  rawRequest('POST', path, {
    headers: { 'Content-Type': 'application/json' },
    // A chat without messages would only load the model.
    body: JSON.stringify({
      model: MODEL,
      prompt: 'hello',
      messages: [{ role: 'user', content: 'hello' }],
      options: { num_predict: tokens },
    }),
  });

describeReal(await realEnvoy(), 'clients that misbehave', () => {
  afterEach(closeArenas);

  it('F02: uploads that are cut off reach no node and leave no memory behind', async () => {
    const arena = await startArena({ count: 2 });
    await ask(arena, 10, generateBody(MODEL, MIB));
    await arena.countFromHere();
    const { envoy, controlPlane } = arena.warmpath.pids;
    const half = Buffer.from(`{"model":"${MODEL}","prompt":"${'x'.repeat(4 * MIB)}`);
    const cutOff = async (): Promise<void> => {
      const connection = await connectRaw(arena.url);
      connection.write(`POST ${GENERATE} HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${8 * MIB}\r\n\r\n`);
      await new Promise((resolve) => connection.socket.write(half, resolve));
      connection.reset();
      await connection.closed;
    };
    // The allocator's own reserves are part of the baseline.
    for (let i = 0; i < 10; i++) await Promise.all([cutOff(), cutOff()]);
    const before = { envoy: rssMib(envoy), controlPlane: rssMib(controlPlane) };
    for (let i = 0; i < 40; i++) await Promise.all([cutOff(), cutOff()]);
    await arena.settled();
    expect(arena.fleet.inference).toEqual([]);
    const grown = {
      envoy: rssMib(envoy) - before.envoy,
      controlPlane: rssMib(controlPlane) - before.controlPlane,
    };
    figure('F02 100 uploads of 4 MiB cut off', {
      envoyGrowthMiB: grown.envoy,
      controlPlaneGrowthMiB: grown.controlPlane,
    });
    expect(grown.envoy).toBeLessThan(32);
    expect(grown.controlPlane).toBeLessThan(32);
    for (const { name } of arena.fleet.nodes) expect((await arena.node(name)).failureRate).toBe(0);
  });

  it('F03: a client that hangs up in the middle of a stream stops the node at once, and is no failure of it', async () => {
    const arena = await startArena({ common: { tokensPerSecond: 50 } });
    await arena.countFromHere();
    const before = await arena.warmpath.metric('warmpath_requests_total', { end: 'client_gone' });
    const delays: number[] = [];
    for (let i = 0; i < 20; i++) {
      const connection = await connectRaw(arena.url);
      connection.write(request(2_000));
      await connection.waitFor(/"response"/);
      const running = arena.fleet.nodes
        .flatMap((node) => node.inferenceRequests)
        .find((each) => each.endedAt === undefined);
      const goneAt = performance.now();
      if (i % 2 === 0) connection.reset();
      else connection.hangUp();
      await waitFor('the node to see it', () => running?.endedAt !== undefined, { intervalMs: 2 });
      expect(running?.aborted).toBe(true);
      delays.push((running?.endedAt ?? 0) - goneAt);
    }
    figure('F03 hang-up to abort at the node', { p50Ms: quantile(delays, 0.5), maxMs: Math.max(...delays) });
    expect(Math.max(...delays)).toBeLessThan(1_000);
    await arena.settled();
    await waitFor('all to be counted', async () => {
      return (await arena.warmpath.metric('warmpath_requests_total', { end: 'client_gone' })) - before === 20;
    });
    expect(arena.fleet.inference).toHaveLength(20);
    for (const { name } of arena.fleet.nodes) {
      const { status, failureRate } = await arena.node(name);
      expect({ status, failureRate }).toEqual({ status: 'ready', failureRate: 0 });
    }
  });

  it('F04: readers that stand still slow nobody else down, and fill no memory', async () => {
    const arena = await startArena({ count: 2, slots: 64 });
    const quiet = new Load(arena.url, { perSecond: 40, body: () => generateBody(MODEL, KIB) });
    await pause(2_000);
    const baseline = await quiet.stop();
    const { envoy } = arena.warmpath.pids;
    const before = rssMib(envoy);
    const piece = Buffer.alloc(64 * KIB, 'x');
    for (const node of arena.fleet.nodes) {
      await node.setFault({
        kind: 'reply',
        status: 200,
        on: '/api/chat',
        body: function* () {
          for (let i = 0; i < 160; i++) yield piece;
        },
      });
    }
    // 10 MiB for each of 60, of which nobody reads more than the first piece.
    const readers = await Promise.all(Array.from({ length: 60 }, () => connectRaw(arena.url)));
    for (const reader of readers) {
      reader.write(request(4, '/api/chat'));
      reader.socket.once('data', () => reader.socket.pause());
    }
    await waitFor(
      'all answers to have begun',
      () => arena.fleet.inference.filter((each) => each.path === '/api/chat').length === 60,
    );
    const load = new Load(arena.url, { perSecond: 40, body: () => generateBody(MODEL, KIB) });
    await pause(3_000);
    const samples = await load.stop();
    const grown = rssMib(envoy) - before;
    expect(failures([...baseline, ...samples])).toEqual([]);
    const p99 = (each: typeof samples): number =>
      quantile(
        each.map(({ answer }) => answer?.totalMs ?? 0),
        0.99,
      );
    figure('F04 60 readers that stand still', {
      envoyGrowthMiB: grown,
      p99BeforeMs: p99(baseline),
      p99BesideMs: p99(samples),
    });
    expect(grown).toBeLessThan(256);
    expect(p99(samples)).toBeLessThan(p99(baseline) + 500);
    for (const reader of readers) reader.reset();
    await arena.settled();
  });

  it('F07: a client that closes its side counts as gone, as it does with Ollama; nothing stays behind', async () => {
    const arena = await startArena({ count: 1, common: { tokensPerSecond: 50 } });
    const connection = await connectRaw(arena.url);
    connection.write(request(2_000));
    await connection.waitFor(/"response"/);
    connection.halfClose();
    await connection.closed;
    await waitFor('the node to see it', () => arena.fleet.inference.every((each) => each.aborted));
    await waitFor('it to be counted', async () => {
      return (await arena.warmpath.metric('warmpath_requests_total', { end: 'client_gone' })) === 1;
    });
    expect((await arena.node('n1')).failureRate).toBe(0);
    await arena.settled();
  });

  it('F08: requests in a row on one connection are answered in order, and a broken one ends it', async () => {
    const arena = await startArena({ count: 2 });
    const connection = await connectRaw(arena.url);
    const names = Array.from({ length: 9 }, (_, i) => `nosuch${i}`);
    const asking = (model: string): string =>
      rawRequest('POST', GENERATE, { body: JSON.stringify({ model, prompt: 'x' }) });
    connection.write(`${names.map(asking).join('')}NOT HTTP AT ALL\r\n\r\n${asking('never')}`);
    await connection.waitFor(/nosuch8/);
    await connection.closed;
    const answered = [...connection.received.matchAll(/model '(nosuch\d|never)' not found/g)].map(
      (match) => match[1],
    );
    expect(answered).toEqual(names);
    expect(connection.received).toMatch(/HTTP\/1\.1 400 /);

    const again = await connectRaw(arena.url);
    again.write(asking('nosuch') + request(3));
    const text = await again.waitFor(/"done":true/);
    expect(text.indexOf('404')).toBeLessThan(text.indexOf('200 OK'));
    again.hangUp();
    await arena.settled();
  });

  it('2,000 streams at once are all routed, all finish, and leave nothing open', async () => {
    const streams = 2_000;
    const arena = await startArena({ slots: 1_000, common: { slots: 1_000, tokensPerSecond: 2 } });
    await arena.countFromHere();
    const { controlPlane, envoy } = arena.warmpath.pids;
    const before = { controlPlane: rssMib(controlPlane), envoy: rssMib(envoy) };
    const body = JSON.stringify({ model: MODEL, prompt: 'hello', options: { num_predict: 20 } });
    const running = Array.from({ length: streams }, () =>
      send(arena.url + GENERATE, { method: 'POST', body }),
    );
    const held = await waitFor(
      'all streams to be open',
      async () => {
        const open = await arena.warmpath.metric('warmpath_leases_open');
        return open === streams && open;
      },
      { timeoutMs: 20_000, intervalMs: 200 },
    );
    const during = { controlPlane: rssMib(controlPlane), envoy: rssMib(envoy) };
    const answers = await Promise.all(running);
    expect(answers.filter((answer) => answer.status !== 200 || !answer.isComplete)).toEqual([]);
    expect(
      answers.filter((answer) => !/^\w/.test(String(answer.headers['x-warmpath-decision'] ?? ''))),
    ).toEqual([]);
    expect(answers.filter((answer) => answer.headers['x-warmpath-attempts'] !== '1')).toEqual([]);
    expect(arena.fleet.inference).toHaveLength(streams);
    await arena.settled();
    figure('2,000 streams', {
      held,
      controlPlaneMiB: during.controlPlane,
      controlPlaneBeforeMiB: before.controlPlane,
      envoyMiB: during.envoy,
      envoyBeforeMiB: before.envoy,
      firstByteP50Ms: quantile(
        answers.map((answer) => answer.firstByteMs),
        0.5,
      ),
      firstByteP99Ms: quantile(
        answers.map((answer) => answer.firstByteMs),
        0.99,
      ),
      perNode: arena.fleet.nodes.map((node) => node.inferenceRequests.length).join('/'),
    });
  }, 90_000);
});
