import { afterEach, expect, it } from 'vitest';
import type { Fault } from '../../src/demo/faults.ts';
import { realEnvoy } from '../support/envoy.ts';
import { figure } from '../support/figures.ts';
import { post } from '../support/http-client.ts';
import { describeReal } from '../support/require-real.ts';
import { waitFor } from '../support/wait-for.ts';
import { ask, closeArenas, GENERATE, MODEL, QUICK, startArena } from './faults/arena.ts';
import { failures, generateBody, isWhole, maxAttempts, type Sample, sample } from './faults/load.ts';
import { rssMib } from './faults/processes.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

describeReal(await realEnvoy(), 'nodes that answer badly', () => {
  afterEach(closeArenas);

  it('G2 F54: an answer that breaks off in the middle is visibly broken, never whole, never asked for again', async () => {
    const arena = await startArena();
    await arena.countFromHere();
    for (const node of arena.fleet.nodes) await node.load('beta');
    const kinds = [
      { path: GENERATE, stream: true },
      { path: GENERATE, stream: false },
      { path: '/api/chat', stream: true },
      { path: '/v1/chat/completions', stream: true },
    ];
    let trials = 0;
    for (const afterBytes of [1, 2, 17, 90, 150, 200, 300]) {
      for (const node of arena.fleet.nodes) {
        await node.setFault({ kind: 'die', afterBytes, how: 'rst', model: 'alpha' });
        node.addFault({ kind: 'die', afterBytes, how: 'fin', model: 'beta' });
      }
      const broken = kinds.flatMap(({ path, stream }) =>
        ['alpha', 'beta'].flatMap((model) =>
          Array.from({ length: 4 }, async (_, i) => {
            const answer = await post(arena.url + path, {
              model,
              stream,
              // Equal bodies that break off wherever they run would be taken for what breaks them.
              prompt: `hello ${path} ${afterBytes} ${i}`,
              messages: [{ role: 'user', content: `hello ${path} ${afterBytes} ${i}` }],
              max_tokens: 40,
              options: { num_predict: 40 },
            });
            return { what: `${path} ${model} stream=${stream} after ${afterBytes}`, answer };
          }),
        ),
      );
      for (const { what, answer } of await Promise.all(broken)) {
        trials += 1;
        expect(answer.isComplete, what).toBe(false);
        expect(answer.status, what).toBe(200);
        expect(answer.headers['x-warmpath-attempts'], what).toBe('1');
        expect(answer.body.length, what).toBeLessThanOrEqual(afterBytes);
      }
    }
    expect(trials).toBeGreaterThanOrEqual(200);
    expect(arena.fleet.inference).toHaveLength(trials);
    await arena.settled();
    await waitFor('all to be counted', async () => {
      return (await arena.warmpath.metric('warmpath_requests_total', { end: 'truncated' })) === trials;
    });
    expect(await arena.warmpath.metric('warmpath_attempts_total', { result: 'truncated' })).toBe(trials);
    figure('G2 broken streams', { trials, whole: 0, retried: 0 });
  });

  it('F53: a model that hangs on one node is left alone there, while the node serves others', async () => {
    const gamma = { name: 'gamma:latest', sizeBytes: 64 * MIB };
    const arena = await startArena({
      slots: 64,
      each: (index) => (index === 0 ? { models: [...QUICK.models, gamma] } : {}),
      config: { routing: { firstByteTimeout: '700ms' } },
    });
    const [first] = arena.fleet.nodes;
    await first?.setFault({ kind: 'hang_before_token', model: MODEL });
    await arena.countFromHere();
    const samples: Sample[] = [];
    // Until the pair has been found out: two requests that it kept waiting.
    await waitFor('two requests to time out', async () => {
      samples.push(...(await ask(arena, 40)));
      return (await arena.warmpath.metric('warmpath_attempts_total', { node: 'n1', result: 'timeout' })) >= 2;
    });
    expect(failures(samples)).toEqual([]);
    expect(maxAttempts(samples)).toBe(2);
    const before = first?.inferenceRequests.length ?? 0;
    const later = await ask(arena, 40);
    expect(failures(later)).toEqual([]);
    expect(later.map((each) => each.node)).not.toContain('n1');
    expect(first?.inferenceRequests.length).toBe(before);
    const others = await ask(arena, 20, generateBody('gamma', KIB));
    expect(failures(others)).toEqual([]);
    expect(new Set(others.map((each) => each.node))).toEqual(new Set(['n1']));
    expect((await arena.node('n1')).status).toBe('ready');
    await arena.settled();
    await arena.expectLedgersAgree([...samples, ...later, ...others]);
  });

  it('F55: an error inside a 200 passes through and is counted against the node', async () => {
    const arena = await startArena({ count: 1 });
    await arena.fleet.nodes[0]?.setFault({ kind: 'runner_dies', afterTokens: 2 });
    const answer = await arena.generate();
    expect(answer.status).toBe(200);
    expect(answer.isComplete).toBe(true);
    expect(answer.lines().at(-1)).toHaveProperty('error');
    await waitFor('it to be counted', async () => {
      return (await arena.warmpath.metric('warmpath_requests_total', { end: 'in_band_error' })) === 1;
    });
    const { lastFailure, failureRate, status } = await arena.node('n1');
    expect(lastFailure?.reason).toBe('in_band_error');
    expect(failureRate).toBeGreaterThan(0);
    expect(status).toBe('ready');
    await arena.settled();
  });

  it('F56: a 500 is tried elsewhere; where all say 500, the last of them is passed on as it is', async () => {
    const arena = await startArena();
    await arena.countFromHere();
    const fault: Fault = { kind: 'reply', status: 500, message: 'model requires more system memory' };
    await arena.fleet.nodes[0]?.setFault(fault);
    const samples = await ask(arena, 20);
    expect(failures(samples)).toEqual([]);
    expect(maxAttempts(samples)).toBe(2);
    for (const node of arena.fleet.nodes) await node.setFault(fault);
    const refused = await ask(arena, 1);
    expect(refused[0]?.answer?.status).toBe(500);
    expect(refused[0]?.answer?.json()).toEqual({ error: 'model requires more system memory' });
    // Both had served before: a third would be one more victim, were the request to blame.
    expect(refused[0]?.attempts).toBe(2);
    for (const { name } of arena.fleet.nodes) expect((await arena.node(name)).status).toBe('ready');
    await arena.settled();
    await arena.expectLedgersAgree([...samples, ...refused]);
  });

  it('F58: a busy node is passed over for a while, not given up; where all are busy, the client hears it', {
    timeout: 90_000,
  }, async () => {
    const arena = await startArena();
    await arena.countFromHere();
    const busy = 'server busy, please try again.  maximum pending requests exceeded';
    const [first] = arena.fleet.nodes;
    const full: Fault = { kind: 'reply', status: 503, message: busy, headers: { 'Retry-After': '5' } };
    await first?.setFault(full);
    const samples: Sample[] = [];
    await waitFor('n1 to be asked', async () => {
      samples.push(...(await ask(arena, 4)));
      return first !== undefined && first.inferenceRequests.length > 0;
    });
    expect(failures(samples)).toEqual([]);
    await waitFor(
      'n1 to be known as busy',
      async () => (await arena.node('n1')).lastFailure?.reason === 'busy',
    );
    const asked = first?.inferenceRequests.length;
    // One after the other: a crowd would rather try the busy node than wait for the others.
    const later: Sample[] = [];
    for (let i = 0; i < 20; i++) later.push(...(await ask(arena, 1)));
    expect(failures(later)).toEqual([]);
    expect(maxAttempts(later)).toBe(1);
    expect(first?.inferenceRequests.length).toBe(asked);
    expect((await arena.node('n1')).status).toBe('ready');

    await first?.setFault(undefined);
    // While the others have room for all, nothing calls for a node in doubt; the doubt fades within half a minute.
    await waitFor(
      'n1 to be asked again',
      async () => {
        later.push(...(await ask(arena, 8)));
        return (first?.inferenceRequests.length ?? 0) > (asked ?? 0);
      },
      { timeoutMs: 45_000 },
    );
    expect(failures(later)).toEqual([]);

    for (const node of arena.fleet.nodes) await node.setFault(full);
    const refused = await ask(arena, 1);
    expect(refused[0]?.answer?.status).toBe(503);
    expect(refused[0]?.answer?.json()).toEqual({ error: busy });
    expect(refused[0]?.answer?.headers['retry-after']).toBeDefined();
    for (const node of arena.fleet.nodes)
      await node.setFault({ kind: 'reply', status: 429, message: 'slow down' });
    const limited = await ask(arena, 1);
    expect(limited[0]?.answer?.status).toBe(429);
    expect(limited[0]?.answer?.json()).toEqual({ error: 'slow down' });
    // The node did not say when to come back.
    expect(limited[0]?.answer?.headers['retry-after']).toBe('1');
    await arena.settled();
    await arena.expectLedgersAgree([...samples, ...later, ...refused, ...limited]);
  });

  it('F59: a model removed behind our back is asked for elsewhere; gone everywhere, it is a 404 as from Ollama', async () => {
    const arena = await startArena({ count: 3, config: { poll: { interval: '250ms', tagsInterval: '1h' } } });
    await arena.countFromHere();
    arena.fleet.node('n1').removeModel('alpha');
    const samples: Sample[] = [];
    await waitFor('n1 to be asked', async () => {
      samples.push(...(await ask(arena, 6)));
      return arena.fleet.node('n1').inferenceRequests.length > 0;
    });
    expect(failures(samples)).toEqual([]);
    await waitFor(
      'the list of n1 to be read again',
      async () => !(await arena.node('n1')).models.includes(MODEL),
    );
    const asked = arena.fleet.node('n1').inferenceRequests.length;
    samples.push(...(await ask(arena, 20)));
    expect(failures(samples)).toEqual([]);
    expect(arena.fleet.node('n1').inferenceRequests).toHaveLength(asked);

    for (const node of arena.fleet.nodes) node.removeModel('alpha');
    const gone = await ask(arena, 1, generateBody('alpha', KIB));
    expect(gone[0]?.answer?.status).toBe(404);
    expect(gone[0]?.answer?.json()).toEqual({ error: "model 'alpha' not found" });
    for (const { name } of arena.fleet.nodes) {
      const { status, failureRate } = await arena.node(name);
      expect({ status, failureRate }).toEqual({ status: 'ready', failureRate: 0 });
    }
    await arena.settled();
    await arena.expectLedgersAgree([...samples, ...gone]);
  });

  it('F60: what a node says is the client’s mistake is passed on as it is, and asked once', async () => {
    const arena = await startArena();
    await arena.countFromHere();
    const samples: Sample[] = [];
    for (const status of [400, 401, 403, 405, 409, 413, 422]) {
      const message = `mistake of kind ${status}`;
      for (const node of arena.fleet.nodes) await node.setFault({ kind: 'reply', status, message });
      const [only] = await ask(arena, 1);
      expect(only?.answer?.status).toBe(status);
      expect(only?.answer?.json()).toEqual({ error: message });
      expect(only?.attempts).toBe(1);
      if (only !== undefined) samples.push(only);
    }
    for (const { name } of arena.fleet.nodes) expect((await arena.node(name)).failureRate).toBe(0);
    await arena.settled();
    await arena.expectLedgersAgree(samples);
  });

  it('F63: a captive portal in place of a node is not a node; its pages never replace a poll', async () => {
    const arena = await startArena();
    const page: Fault = {
      kind: 'reply',
      on: 'reads',
      status: 200,
      body: '<html>log in</html>',
      contentType: 'text/html',
    };
    await arena.fleet.node('n1').setFault(page);
    await arena.waitForStatus('n1', ['suspect', 'down']);
    await arena.waitForStatus('n1', ['down']);
    await arena.countFromHere();
    const samples = await ask(arena, 30);
    expect(failures(samples)).toEqual([]);
    expect(arena.fleet.node('n1').inferenceRequests).toHaveLength(0);
    for (const node of arena.fleet.nodes.slice(1)) {
      node.addFault({ kind: 'reply', status: 200, body: '<html>hello</html>', contentType: 'text/html' });
    }
    const passed = await arena.generate();
    expect([passed.status, passed.headers['content-type'], passed.text]).toEqual([
      200,
      'text/html',
      '<html>hello</html>',
    ]);
    await arena.settled();
  });

  it('F64: answers without end and in single bytes stream through in bounded memory', async () => {
    const arena = await startArena({ count: 1 });
    const [node] = arena.fleet.nodes;
    const piece = Buffer.alloc(64 * KIB, 'x');
    await node?.setFault({
      kind: 'reply',
      status: 200,
      body: function* () {
        for (;;) yield piece;
      },
    });
    const { envoy, controlPlane } = arena.warmpath.pids;
    const before = { envoy: rssMib(envoy), controlPlane: rssMib(controlPlane) };
    const url = arena.url + GENERATE;
    const endless = await post(url, generateBody(MODEL, KIB), { hangUpAfterBytes: 128 * MIB });
    expect(endless.body.length).toBeGreaterThanOrEqual(128 * MIB);
    const grown = {
      envoy: rssMib(envoy) - before.envoy,
      controlPlane: rssMib(controlPlane) - before.controlPlane,
    };
    figure('F64 endless answer, 128 MiB read', {
      envoyGrowthMiB: grown.envoy,
      controlPlaneGrowthMiB: grown.controlPlane,
    });
    expect(grown.envoy).toBeLessThan(64);
    expect(grown.controlPlane).toBeLessThan(64);
    await waitFor('the node to see that the client went', () =>
      node?.inferenceRequests.every((each) => each.aborted),
    );

    const bytes = Buffer.from('single bytes, many of them. '.repeat(200));
    await node?.setFault({
      kind: 'reply',
      status: 200,
      body: () => [...bytes].map((byte) => Buffer.from([byte])),
    });
    const answer = await post(url, generateBody(MODEL, KIB));
    expect(answer.isComplete).toBe(true);
    expect(answer.body.equals(bytes)).toBe(true);
    await arena.settled();
  });

  it('F65: nodes that answer with anything but HTTP are passed over', async () => {
    const answers = {
      'no HTTP at all': 'SSH-2.0-OpenSSH_9.6\r\n',
      'an impossible status': 'HTTP/1.1 abc OK\r\n\r\n',
      'a length that is no number': 'HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\n',
      'a header of 1 MiB': `HTTP/1.1 200 OK\r\nX-Long: ${'x'.repeat(MIB)}\r\n\r\n`,
      'a thousand headers': `HTTP/1.1 200 OK\r\n${'X-Many: 1\r\n'.repeat(1_000)}\r\n`,
      'a NUL in a header': 'HTTP/1.1 200 OK\r\nX-Nul: a\0b\r\n\r\n',
      'nothing at all': '',
    };
    const kinds = Object.entries(answers);
    // One node for each, and a good one: whoever meets all the bad ones still ends there.
    const count = kinds.length + 1;
    const arena = await startArena({ count, config: { routing: { maxAttempts: count } } });
    const { envoy, controlPlane } = arena.warmpath.pids;
    const bad = kinds.map(([what, bytes], i) => ({ what, bytes, node: arena.fleet.node(`n${i + 1}`) }));
    for (const { bytes, node } of bad) await node.setFault({ kind: 'raw', bytes, ending: 'fin' });
    await arena.countFromHere();
    const samples = await ask(arena, 40);
    expect(failures(samples)).toEqual([]);
    expect(new Set(samples.map((each) => each.node))).toEqual(new Set([`n${count}`]));
    for (const { what, node } of bad) expect(node.inferenceRequests.length, what).toBeGreaterThan(0);
    expect(arena.warmpath.pids).toMatchObject({ envoy, controlPlane });
    await arena.settled();
    await arena.expectLedgersAgree(samples);
  });

  it('F65: broken framing after the answer has begun ends it visibly; a flood of 100s and a 204 with a body break nothing', async () => {
    const arena = await startArena({ count: 1 });
    const [node] = arena.fleet.nodes;
    const { envoy } = arena.warmpath.pids;
    const head = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n';
    await node?.setFault({ kind: 'raw', bytes: `${head}5\r\nhello\r\nzz\r\n`, ending: 'fin' });
    const cut = await sample(arena.url + GENERATE, 0, generateBody(MODEL, KIB));
    expect(cut.answer?.isComplete ?? false).toBe(false);
    await node?.setFault({
      kind: 'raw',
      bytes: `${'HTTP/1.1 100 Continue\r\n\r\n'.repeat(20_000)}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok`,
      ending: 'fin',
    });
    await sample(arena.url + GENERATE, 1, generateBody(MODEL, KIB));
    await node?.setFault({ kind: 'raw', bytes: 'HTTP/1.1 204 No Content\r\n\r\nbody', ending: 'fin' });
    await sample(arena.url + GENERATE, 2, generateBody(MODEL, KIB));
    await node?.setFault(undefined);
    await waitFor('the node to serve again', async () =>
      isWhole(await sample(arena.url + GENERATE, 3, generateBody(MODEL, KIB))),
    );
    expect(arena.warmpath.pids.envoy).toBe(envoy);
    await arena.settled();
  });
});
