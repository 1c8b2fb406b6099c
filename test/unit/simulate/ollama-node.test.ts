import { describe, expect, it } from 'vitest';
import { GIB, NodeBench, simModel } from './node-bench.ts';

const model = (name: string) => simModel(`${name}:latest`);

describe('slots', () => {
  it('loads a cold model, reads the prompt, writes the answer', () => {
    const bench = new NodeBench();
    bench.ask('x');
    bench.runUntil(10_000);
    expect(bench.events).toEqual(['1000 loaded a:latest', '1000 x started', '1100 x first', '2100 x served']);
  });

  it('serves requests beyond its slots in the order of arrival, without limit', () => {
    const bench = new NodeBench({ maxQueue: 0 });
    bench.ask('warm-up');
    bench.runUntil(3_000);
    for (const name of ['x', 'y', 'z']) bench.ask(name);
    bench.runUntil(20_000);
    expect(bench.times('z')).toEqual(['5200 z started', '5300 z first', '6300 z served']);
    expect(bench.times('served').map((event) => event.split(' ')[1])).toEqual(['warm-up', 'x', 'y', 'z']);
  });

  it('runs as many requests of one model at once as it has slots, each slower than alone', () => {
    const bench = new NodeBench({ parallel: 2, batchCost: 0.5 });
    bench.ask('x');
    bench.ask('y');
    bench.runUntil(20_000);
    // Two share the reading of prompts (2 x 1.5 times as long), then write at 1 / 1.5 of the speed.
    expect(bench.times('first')).toEqual(['1300 x first', '1300 y first']);
    expect(bench.times('served')).toEqual(['2800 x served', '2800 y served']);
  });

  it('lets models at work on one GPU take turns', () => {
    const bench = new NodeBench({ contention: 1 });
    bench.ask('warm-a', { answerTokens: 1 });
    bench.ask('warm-b', { model: model('b'), answerTokens: 1 });
    bench.runUntil(5_000);
    bench.ask('x', { promptTokens: 1, answerTokens: 100 });
    bench.ask('y', { model: model('b'), promptTokens: 1, answerTokens: 100 });
    bench.runUntil(20_000);
    expect(bench.times('x served')).toEqual(['7002 x served']);
    expect(bench.times('y served')).toEqual(['7002 y served']);
  });

  it('frees the slot of a client that hangs up at once', () => {
    const bench = new NodeBench();
    const x = bench.ask('x');
    bench.ask('y');
    bench.at(1_500, () => bench.node.leave(x.job));
    bench.runUntil(10_000);
    expect(bench.times('y')).toEqual(['1500 y started', '1600 y first', '2600 y served']);
    expect(x.end).toBeUndefined();
  });

  it('forgets a waiting request whose client hangs up', () => {
    const bench = new NodeBench();
    bench.ask('x');
    const y = bench.ask('y');
    bench.ask('z');
    bench.at(1_200, () => bench.node.leave(y.job));
    bench.runUntil(10_000);
    expect(bench.times('served')).toEqual(['2100 x served', '3200 z served']);
  });
});

describe('loads', () => {
  it('loads one model after the other, and loaded ones go on meanwhile', () => {
    const bench = new NodeBench({ contention: 0 });
    bench.ask('warm', { answerTokens: 1 });
    bench.runUntil(2_000);
    bench.ask('b', { model: model('b') });
    bench.ask('c', { model: model('c') });
    bench.ask('x', { promptTokens: 1, answerTokens: 1 });
    bench.runUntil(20_000);
    expect(bench.times('loaded')).toEqual([
      '1000 loaded a:latest',
      '3000 loaded b:latest',
      '4000 loaded c:latest',
    ]);
    expect(bench.times('x served')).toEqual(['2011 x served']);
  });

  it('loads a model once for all who wait for it', () => {
    const bench = new NodeBench({ parallel: 4 });
    for (const name of ['x', 'y', 'z']) bench.ask(name);
    bench.runUntil(20_000);
    expect(bench.node.loads).toBe(1);
    expect(bench.times('served')).toHaveLength(3);
  });

  it('refuses with 503 who finds the line for loads full, and only those', () => {
    const bench = new NodeBench({ maxQueue: 1 });
    const asked = ['u', 'v', 'w', 'x', 'y', 'z'].map((name) => bench.ask(name));
    bench.runUntil(20_000);
    expect(asked.map(({ end }) => end)).toEqual(['served', 'served', 'busy', 'busy', 'busy', 'busy']);
  });

  it('gives up a load whose client hangs up, and begins the next', () => {
    const bench = new NodeBench();
    const x = bench.ask('x');
    bench.ask('y', { model: model('b') });
    bench.at(500, () => bench.node.leave(x.job));
    bench.runUntil(10_000);
    expect(bench.times('loaded')).toEqual(['1500 loaded b:latest']);
  });

  it('waits with a load while all models are busy, and every other load behind it', () => {
    const bench = new NodeBench({ maxLoadedModels: 1 });
    bench.ask('long', { answerTokens: 1_000 });
    bench.runUntil(1_500);
    bench.ask('b', { model: model('b') });
    bench.ask('c', { model: model('c') });
    bench.runUntil(30_000);
    expect(bench.times('loaded')).toEqual([
      '1000 loaded a:latest',
      '12100 loaded b:latest',
      '14200 loaded c:latest',
    ]);
  });

  it.each([
    { name: 'another num_ctx reloads', numCtx: 8_192, loads: 2 },
    { name: 'the same num_ctx does not', numCtx: 4_096, loads: 1 },
    {
      name: 'one beyond what the model was trained for does too, though it is cut to that',
      numCtx: 1_000_000,
      loads: 2,
      max: 4_096,
    },
  ])('reload: $name', ({ numCtx, loads, max }) => {
    const spec = simModel('a:latest', max === undefined ? {} : { maxContext: max });
    const bench = new NodeBench();
    bench.ask('x', { model: spec });
    bench.runUntil(5_000);
    bench.ask('y', { model: spec, numCtx });
    bench.runUntil(20_000);
    expect(bench.node.loads).toBe(loads);
    expect(bench.times('y served')).toHaveLength(1);
  });

  it('reloads only when the running requests of the model have ended', () => {
    const bench = new NodeBench();
    bench.ask('x', { answerTokens: 500 });
    bench.runUntil(2_000);
    bench.ask('y', { numCtx: 8_192 });
    bench.runUntil(20_000);
    expect(bench.times('loaded')).toEqual(['1000 loaded a:latest', '7100 loaded a:latest']);
  });
});

describe('memory', () => {
  it('evicts the idle model with the shortest keep_alive first', () => {
    const bench = new NodeBench({ maxLoadedModels: 2 });
    bench.ask('a', { answerTokens: 1, keepAliveMs: 60_000 });
    bench.ask('b', { model: model('b'), answerTokens: 1, keepAliveMs: 30_000 });
    bench.runUntil(5_000);
    bench.ask('c', { model: model('c') });
    bench.runUntil(10_000);
    expect(bench.loaded()).toEqual(['a:latest', 'c:latest']);
  });

  it('among equals evicts the one that expires first', () => {
    const bench = new NodeBench({ maxLoadedModels: 2 });
    bench.ask('a', { answerTokens: 1 });
    bench.ask('b', { model: model('b'), answerTokens: 1 });
    bench.at(4_000, () => bench.ask('a again', { answerTokens: 1 }));
    bench.at(5_000, () => bench.ask('c', { model: model('c') }));
    bench.runUntil(10_000);
    expect(bench.loaded()).toEqual(['a:latest', 'c:latest']);
  });

  it('never evicts a busy model while an idle one can go', () => {
    const bench = new NodeBench({ maxLoadedModels: 2, contention: 0 });
    bench.ask('a', { answerTokens: 2_000, keepAliveMs: 1_000 });
    bench.ask('b', { model: model('b'), answerTokens: 1, keepAliveMs: 600_000 });
    bench.runUntil(5_000);
    bench.ask('c', { model: model('c') });
    bench.runUntil(10_000);
    expect(bench.loaded()).toEqual(['a:latest', 'c:latest']);
  });

  it('counts the KV cache of all slots, and makes room when it does not fit', () => {
    const big = (name: string) =>
      simModel(`${name}:latest`, { sizeBytes: 6 * GIB, kvBytesPerToken: 128 * 1024 });
    // 6 GiB and 4,096 tokens x 4 slots x 128 KiB = 8 GiB: two do not fit into 15 GiB.
    const bench = new NodeBench({ vramBytes: 15 * GIB, parallel: 4 });
    bench.ask('a', { model: big('a'), answerTokens: 1 });
    bench.runUntil(60_000);
    bench.ask('b', { model: big('b'), answerTokens: 1 });
    bench.runUntil(120_000);
    expect(bench.loaded()).toEqual(['b:latest']);
    expect(bench.answers.answer()?.resident[0]?.sizeBytes).toBe(8 * GIB);
  });

  it('works off on the CPU what does not fit, slower', () => {
    const half = new NodeBench({ vramBytes: 0.3 * GIB });
    const whole = new NodeBench();
    for (const bench of [half, whole]) {
      bench.ask('x');
      bench.runUntil(60_000);
    }
    expect(half.answers.answer()?.resident[0]?.vramBytes).toBeCloseTo(0.3 * GIB);
    // Half of the work takes ten times as long.
    expect(half.times('served')).toEqual([`${1_000 + 1_100 * 5.5} x served`]);
    expect(whole.times('served')).toEqual(['2100 x served']);
  });

  it('unloads when keep_alive is over, counted from the end of the last request', () => {
    const bench = new NodeBench();
    bench.ask('x', { keepAliveMs: 5_000, answerTokens: 1_000 });
    bench.runUntil(16_000);
    expect(bench.loaded()).toEqual(['a:latest']);
    bench.runUntil(16_200);
    expect(bench.loaded()).toEqual([]);
  });

  it.each([
    { name: 'no keep_alive: five minutes', keepAliveMs: undefined, loadedUntil: 302_100 },
    { name: 'keep_alive 0: at once', keepAliveMs: 0, loadedUntil: 2_100 },
    { name: 'a negative one: for ever', keepAliveMs: Number.POSITIVE_INFINITY, loadedUntil: undefined },
  ])('$name', ({ keepAliveMs, loadedUntil }) => {
    const bench = new NodeBench();
    bench.ask('x', { keepAliveMs });
    bench.runUntil((loadedUntil ?? 1e9) - 10);
    expect(bench.loaded()).toEqual(['a:latest']);
    bench.runUntil((loadedUntil ?? 1e9) + 10);
    expect(bench.loaded()).toEqual(loadedUntil === undefined ? ['a:latest'] : []);
  });

  it('loads and unloads on empty requests, without a slot', () => {
    const bench = new NodeBench();
    bench.ask('load', { isEmpty: true });
    bench.runUntil(1_500);
    expect(bench.loaded()).toEqual(['a:latest']);
    bench.ask('unload', { isEmpty: true, keepAliveMs: 0 });
    expect(bench.events).toEqual(['1000 loaded a:latest', '1000 load served', '1500 unload served']);
    expect(bench.loaded()).toEqual([]);
  });
});

describe('prompt cache', () => {
  it('reads only what is new of a conversation that the slot has read before', () => {
    const bench = new NodeBench();
    bench.ask('one', { session: 1, promptTokens: 500, answerTokens: 100 });
    bench.runUntil(5_000);
    bench.ask('two', { session: 1, promptTokens: 700, sharedTokens: 600, answerTokens: 100 });
    bench.runUntil(10_000);
    expect(bench.times('two first')).toEqual(['5100 two first']);
  });

  it('has lost a conversation when another took its slot', () => {
    const bench = new NodeBench();
    bench.ask('one', { session: 1, promptTokens: 500 });
    bench.ask('other', { session: 2, promptTokens: 500 });
    bench.runUntil(10_000);
    bench.ask('two', { session: 1, promptTokens: 700, sharedTokens: 600 });
    bench.runUntil(20_000);
    expect(bench.times('two first')).toEqual(['10700 two first']);
  });

  it('keeps conversations apart in its slots', () => {
    const bench = new NodeBench({ parallel: 2 });
    bench.ask('one', { session: 1, promptTokens: 500 });
    bench.runUntil(5_000);
    bench.ask('other', { session: 2, promptTokens: 500 });
    bench.runUntil(10_000);
    bench.ask('two', { session: 1, promptTokens: 700, sharedTokens: 600 });
    bench.runUntil(20_000);
    expect(bench.times('two first')).toEqual(['10100 two first']);
  });

  it('shares a system prompt between conversations', () => {
    const bench = new NodeBench();
    const prefix = { id: 7, tokens: 400 };
    bench.ask('one', { session: 1, promptTokens: 500, prefix });
    bench.runUntil(5_000);
    bench.ask('two', { session: 2, promptTokens: 500, prefix });
    bench.runUntil(10_000);
    expect(bench.times('two first')).toEqual(['5100 two first']);
  });

  it('is empty after a reload', () => {
    const bench = new NodeBench();
    bench.ask('one', { session: 1, promptTokens: 500, keepAliveMs: 0 });
    bench.runUntil(5_000);
    bench.ask('two', { session: 1, promptTokens: 600, sharedTokens: 500 });
    bench.runUntil(10_000);
    expect(bench.times('two first')).toEqual(['6600 two first']);
  });
});

describe('failures', () => {
  it('breaks off what runs when it goes down, refuses what comes, and comes back empty', () => {
    const bench = new NodeBench();
    const answering = bench.ask('answering');
    const waiting = bench.ask('waiting');
    bench.at(1_500, () => bench.node.goDown());
    bench.runUntil(2_000);
    const late = bench.ask('late');
    expect([answering.end, waiting.end, late.end]).toEqual(['truncated', 'reset', 'refused']);
    expect(bench.answers.answer()).toBeUndefined();
    bench.node.goUp();
    expect(bench.answers.answer()?.resident).toEqual([]);
    const after = bench.ask('after');
    bench.runUntil(10_000);
    expect(after.end).toBe('served');
    expect(bench.node.loads).toBe(2);
  });

  it('answers 500 at once to its share of requests', () => {
    const bench = new NodeBench();
    bench.node.failShare = 0.6;
    expect(bench.ask('x').end).toBe('server_error');
    bench.node.failShare = 0.4;
    expect(bench.ask('y').end).toBeUndefined();
  });

  it('does not know models that it has not on disk', () => {
    const bench = new NodeBench();
    expect(bench.ask('x', { model: model('elsewhere') }).end).toBe('model_missing');
  });
});

describe('what polls see', () => {
  it('does not list a model while it loads', () => {
    const bench = new NodeBench();
    bench.ask('x');
    bench.runUntil(900);
    expect(bench.answers.answer()?.resident).toEqual([]);
    bench.runUntil(1_001);
    expect(bench.answers.answer()?.resident.map(({ key }) => key)).toEqual(['a:latest']);
  });

  it('moves expires_at only at the end of requests, so that it lies in the past during a long one', () => {
    const bench = new NodeBench();
    bench.ask('x', { keepAliveMs: 2_000, answerTokens: 1_000 });
    bench.runUntil(9_000);
    const during = Date.parse(bench.answers.answer()?.resident[0]?.expiresAt ?? '');
    expect(during).toBe(3_000);
    bench.runUntil(11_500);
    expect(Date.parse(bench.answers.answer()?.resident[0]?.expiresAt ?? '')).toBe(13_100);
  });

  it('answers the same list until something changes', () => {
    const bench = new NodeBench();
    bench.ask('x');
    bench.runUntil(5_000);
    const before = bench.answers.answer()?.resident;
    bench.runUntil(60_000);
    expect(bench.answers.answer()?.resident).toBe(before);
  });
});

describe('accounts', () => {
  it('comes back to all slots free', () => {
    const bench = new NodeBench({ parallel: 3 });
    for (const name of ['u', 'v', 'w', 'x', 'y']) bench.ask(name);
    bench.runUntil(1_200);
    expect(bench.freeSlots).toBe(0);
    bench.runUntil(60_000);
    expect(bench.freeSlots).toBe(3);
    bench.runUntil(400_000);
    expect(bench.freeSlots).toBe(0);
  });
});
