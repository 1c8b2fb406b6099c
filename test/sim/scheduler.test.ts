import { beforeEach, describe, expect, it } from 'vitest';
import { type SimulatedModel, simulateModel } from '../../src/demo/models.ts';
import type { RunnerUse } from '../../src/demo/runner.ts';
import { QueueFullError, Scheduler, type SchedulerOptions } from '../../src/demo/scheduler.ts';
import { FakeClock } from '../support/fake-clock.ts';

const MB = 1e6;
const never = new AbortController().signal;
let clock: FakeClock;

beforeEach(() => {
  clock = new FakeClock();
});

/** Loads take one second per 100 MB; the context costs nothing unless a test says so. */
function schedulerWith(options: Partial<SchedulerOptions> = {}): Scheduler {
  return new Scheduler({
    clock,
    vramBytes: 1000 * MB,
    slots: 1,
    maxLoaded: 3,
    maxQueue: 512,
    defaultContext: 4096,
    defaultKeepAliveMs: 300_000,
    loadBytesPerSecond: 100 * MB,
    ...options,
  });
}

function model(name: string, sizeMb = 100, kvBytesPerToken = 0): SimulatedModel {
  return simulateModel({ name, sizeBytes: sizeMb * MB, kvBytesPerToken }, clock.date());
}

interface Wait {
  readonly use: RunnerUse | undefined;
  readonly error: unknown;
  readonly abort: () => void;
}

/** Asks for the model; `use` and `error` fill in as time passes. */
function ask(
  scheduler: Scheduler,
  wanted: SimulatedModel,
  { numCtx, keepAliveMs }: { numCtx?: number; keepAliveMs?: number } = {},
): Wait {
  const controller = new AbortController();
  const wait: { -readonly [Field in keyof Wait]: Wait[Field] } = {
    use: undefined,
    error: undefined,
    abort: () => controller.abort(),
  };
  scheduler.use(wanted, { numCtx, keepAliveMs }, controller.signal).then(
    (use) => {
      wait.use = use;
    },
    (error) => {
      wait.error = error;
    },
  );
  return wait;
}

/** Loads a model and lets it idle. */
async function load(scheduler: Scheduler, wanted: SimulatedModel, keepAliveMs?: number): Promise<void> {
  const wait = ask(scheduler, wanted, keepAliveMs === undefined ? {} : { keepAliveMs });
  while (wait.use === undefined && wait.error === undefined) await clock.advance(100);
  if (wait.error !== undefined) throw wait.error;
  wait.use?.release();
}

const names = (scheduler: Scheduler): string[] => scheduler.loaded.map((runner) => runner.model.name).sort();

describe('loading', () => {
  it('takes the time that the size asks for, and a loaded model none', async () => {
    const scheduler = schedulerWith();
    const alpha = model('alpha', 250);
    const first = ask(scheduler, alpha);
    await clock.advance(2_499);
    expect(first.use).toBeUndefined();
    expect(names(scheduler)).toEqual([]);
    await clock.advance(1);
    expect(first.use?.runner.model.name).toBe('alpha:latest');
    const second = ask(scheduler, alpha);
    await clock.advance(0);
    expect(second.use).toBeDefined();
    expect(scheduler.counters.loads).toBe(1);
  });

  it('loads one model after the other', async () => {
    const scheduler = schedulerWith();
    const [alpha, beta] = [ask(scheduler, model('alpha')), ask(scheduler, model('beta'))];
    await clock.advance(1_000);
    expect([alpha.use !== undefined, beta.use !== undefined]).toEqual([true, false]);
    await clock.advance(1_000);
    expect(beta.use).toBeDefined();
  });

  it('loads once for all who wait for the same model', async () => {
    const scheduler = schedulerWith();
    const waits = Array.from({ length: 5 }, () => ask(scheduler, model('alpha')));
    await clock.advance(1_000);
    expect(waits.every((wait) => wait.use !== undefined)).toBe(true);
    expect(scheduler.counters.loads).toBe(1);
  });

  it('refuses those beyond the queue limit at once, and only those that need a load', async () => {
    const scheduler = schedulerWith({ maxQueue: 1 });
    await load(scheduler, model('warm'));
    const waits = Array.from({ length: 6 }, () => ask(scheduler, model('alpha')));
    const warm = ask(scheduler, model('warm'));
    await clock.advance(0);
    expect(waits.map((wait) => wait.error instanceof QueueFullError)).toEqual([
      false,
      false,
      true,
      true,
      true,
      true,
    ]);
    expect(warm.use).toBeDefined();
  });

  it('is given up when the client goes, and the next in line comes at once', async () => {
    const scheduler = schedulerWith();
    const gone = ask(scheduler, model('alpha', 10_000));
    const next = ask(scheduler, model('beta'));
    await clock.advance(500);
    gone.abort();
    await clock.advance(1_000);
    expect(next.use).toBeDefined();
    expect(names(scheduler)).toEqual(['beta:latest']);
  });

  it('lets a client leave the line', async () => {
    const scheduler = schedulerWith();
    ask(scheduler, model('alpha'));
    const gone = ask(scheduler, model('beta'));
    await clock.advance(0);
    gone.abort();
    await clock.advance(5_000);
    expect(gone.error).toBeDefined();
    expect(names(scheduler)).toEqual(['alpha:latest']);
  });

  it('knows a model by its weights: an alias is as warm as the model', async () => {
    const scheduler = schedulerWith();
    await load(scheduler, model('alpha'));
    const alias = simulateModel(
      { name: 'alias', sizeBytes: 100 * MB, aliasOf: 'ALPHA:latest' },
      clock.date(),
    );
    const wait = ask(scheduler, alias);
    await clock.advance(0);
    expect(wait.use?.runner.model.name).toBe('alpha:latest');
  });
});

describe('context', () => {
  it('reloads the model when another context is asked for, after running requests have ended', async () => {
    const scheduler = schedulerWith();
    const alpha = model('alpha', 100, 1000);
    await load(scheduler, alpha);
    const running = ask(scheduler, alpha);
    const other = ask(scheduler, alpha, { numCtx: 8192 });
    await clock.advance(10_000);
    expect(other.use).toBeUndefined();
    running.use?.release();
    await clock.advance(1_000);
    expect(other.use?.runner.contextLength).toBe(8192);
    expect(scheduler.counters.loads).toBe(2);
  });

  it('takes memory for every slot and clamps to the length trained for', async () => {
    const scheduler = schedulerWith({ slots: 4, defaultContext: 4096 });
    const small = simulateModel(
      { name: 'small', sizeBytes: 10 * MB, kvBytesPerToken: 1000, trainedContext: 2048 },
      clock.date(),
    );
    await load(scheduler, small);
    expect(scheduler.loaded[0]).toMatchObject({ contextLength: 2048, sizeBytes: 10 * MB + 2048 * 4 * 1000 });
  });

  it('reloads for what was asked, though both are cut down to the same length (as Ollama 0.24 does)', async () => {
    const scheduler = schedulerWith();
    const small = simulateModel({ name: 'small', sizeBytes: 100 * MB, trainedContext: 8192 }, clock.date());
    for (const [numCtx, loads] of [
      [1_000_000, 1],
      [1_000_000, 1],
      [8192, 2],
      [1_000_000, 3],
      [1, 4],
      [4, 4],
    ] as const) {
      const asked = ask(scheduler, small, { numCtx });
      await clock.advance(2_000);
      expect(asked.use?.runner.contextLength).toBe(numCtx > 4 ? 8192 : 4);
      expect(scheduler.counters.loads).toBe(loads);
      asked.use?.release();
    }
  });
});

describe('eviction', () => {
  it('makes room for what does not fit: the shortest keep_alive goes first, then the longest unused', async () => {
    const scheduler = schedulerWith();
    await load(scheduler, model('long', 300), 600_000);
    await load(scheduler, model('older', 300), 60_000);
    await load(scheduler, model('newer', 300), 60_000);
    await load(scheduler, model('big', 350));
    expect(names(scheduler)).toEqual(['big:latest', 'long:latest', 'newer:latest']);
    expect(scheduler.counters.evictions).toBe(1);
  });

  it('evicts none that has room beside the others', async () => {
    const scheduler = schedulerWith();
    await load(scheduler, model('alpha', 400));
    await load(scheduler, model('beta', 600));
    expect(names(scheduler)).toEqual(['alpha:latest', 'beta:latest']);
  });

  it('keeps to the number of models whatever the memory', async () => {
    const scheduler = schedulerWith({ maxLoaded: 2, vramBytes: 0 });
    for (const name of ['alpha', 'beta', 'gamma']) await load(scheduler, model(name, 5));
    expect(names(scheduler)).toEqual(['beta:latest', 'gamma:latest']);
  });

  it('never evicts a busy model: the load waits, and other loads wait behind it, loaded models go on', async () => {
    const scheduler = schedulerWith();
    await load(scheduler, model('idle', 100), Number.POSITIVE_INFINITY);
    const busy = ask(scheduler, model('busy', 600));
    await clock.advance(6_000);
    expect(busy.use).toBeDefined();
    const big = ask(scheduler, model('big', 900));
    const small = ask(scheduler, model('small', 50));
    await clock.advance(60_000);
    expect([big.use, small.use]).toEqual([undefined, undefined]);
    const warm = ask(scheduler, model('busy', 600));
    await clock.advance(0);
    expect(warm.use).toBeDefined();
    busy.use?.release();
    warm.use?.release();
    await clock.advance(9_000);
    expect(big.use).toBeDefined();
    await clock.advance(500);
    expect(small.use).toBeDefined();
  });

  it('loads a model that is larger than the GPU alone and in part', async () => {
    const scheduler = schedulerWith();
    await load(scheduler, model('alpha', 100));
    await load(scheduler, model('huge', 1_500));
    expect(names(scheduler)).toEqual(['huge:latest']);
    expect(scheduler.loaded[0]).toMatchObject({ sizeBytes: 1_500 * MB, vramBytes: 1_000 * MB });
  });

  it('shows nothing on the GPU where there is none', async () => {
    const scheduler = schedulerWith({ vramBytes: 0 });
    await load(scheduler, model('alpha'));
    expect(scheduler.loaded[0]?.vramBytes).toBe(0);
  });
});

describe('keep_alive', () => {
  it('counts from the end of the last request, so expires_at lies in the past during a long one', async () => {
    const scheduler = schedulerWith();
    await load(scheduler, model('alpha'), 10_000);
    const long = ask(scheduler, model('alpha'));
    await clock.advance(60_000);
    expect(names(scheduler)).toEqual(['alpha:latest']);
    expect(scheduler.loaded[0]?.expiresAt).toBeLessThan(clock.now());
    long.use?.release();
    await clock.advance(9_999);
    expect(names(scheduler)).toEqual(['alpha:latest']);
    await clock.advance(1);
    expect(names(scheduler)).toEqual([]);
  });

  it('keeps for ever what was asked to stay, and stays with a model until a request changes it', async () => {
    const scheduler = schedulerWith();
    await load(scheduler, model('alpha'), Number.POSITIVE_INFINITY);
    await load(scheduler, model('alpha'));
    await clock.advance(1e9);
    expect(names(scheduler)).toEqual(['alpha:latest']);
    await load(scheduler, model('alpha'), 0);
    await clock.advance(0);
    expect(names(scheduler)).toEqual([]);
  });

  it('unloads on demand: at once when idle, else with the last request', async () => {
    const scheduler = schedulerWith();
    await load(scheduler, model('alpha'));
    const running = ask(scheduler, model('alpha'));
    await clock.advance(0);
    scheduler.unload(model('alpha'));
    expect(names(scheduler)).toEqual(['alpha:latest']);
    running.use?.release();
    expect(names(scheduler)).toEqual([]);
  });

  it('lists the model that expires last first', async () => {
    const scheduler = schedulerWith();
    await load(scheduler, model('short'), 1e6);
    await load(scheduler, model('forever'), Number.POSITIVE_INFINITY);
    await load(scheduler, model('long'), 2e6);
    expect(scheduler.loaded.map((runner) => runner.model.name)).toEqual([
      'forever:latest',
      'long:latest',
      'short:latest',
    ]);
  });

  it('does not unload a later runner when an earlier one is released after a kill', async () => {
    const scheduler = schedulerWith();
    const before = ask(scheduler, model('alpha'), { keepAliveMs: 0 });
    await clock.advance(1_000);
    scheduler.clear();
    await load(scheduler, model('alpha'));
    before.use?.release();
    await clock.advance(0);
    expect(names(scheduler)).toEqual(['alpha:latest']);
  });
});

describe('slots', () => {
  it('are taken in order of arrival; leaving the line or releasing twice changes nothing for others', async () => {
    const scheduler = schedulerWith({ slots: 2 });
    await load(scheduler, model('alpha'));
    const use = await scheduler.use(model('alpha'), { numCtx: undefined, keepAliveMs: undefined }, never);
    const gone = new AbortController();
    const order: string[] = [];
    const free: Record<string, () => void> = {};
    const take = (name: string, signal = never): Promise<void> =>
      use.slot(signal).then(
        (release) => {
          order.push(name);
          free[name] = release;
        },
        () => {
          order.push(`${name} left`);
        },
      );
    const all = ['a', 'b', 'c'].map((name) => take(name));
    all.push(take('d', gone.signal), take('e'));
    await clock.advance(0);
    expect([order, use.runner.running, use.runner.waiting]).toEqual([['a', 'b'], 2, 3]);
    gone.abort();
    free.a?.();
    free.a?.();
    await clock.advance(0);
    expect(order).toEqual(['a', 'b', 'd left', 'c']);
    free.c?.();
    await Promise.all(all);
    expect(order).toEqual(['a', 'b', 'd left', 'c', 'e']);
    for (const name of ['b', 'e']) free[name]?.();
    expect(use.runner.running).toBe(0);
  });
});
