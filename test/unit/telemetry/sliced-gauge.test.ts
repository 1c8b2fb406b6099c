import { Gauge, Registry } from 'prom-client';
import { expect, it } from 'vitest';
import { SlicedGauge } from '../../../src/telemetry/sliced-gauge.ts';

const LABELS = ['node', 'state'] as const;

it('writes what the usual library writes, names that need escapes included', async () => {
  const registry = new Registry();
  const usual = new Gauge({
    name: 'g',
    help: 'One \\ two\nthree',
    labelNames: LABELS,
    registers: [registry],
  });
  const sliced = new SlicedGauge('g', 'One \\ two\nthree', LABELS);
  for (const gauge of [usual, sliced]) {
    gauge.set({ node: 'n1', state: 'ready' }, 1);
    gauge.set({ node: 'a"b\\c\nd', state: 'down' }, 0.25);
    gauge.inc({ node: 'n1', state: 'ready' }, 2);
    gauge.inc({ node: 'n2', state: 'ready' }, 5e20);
  }
  expect(`${await sliced.render()}\n`).toBe(await registry.metrics());
});

it('forgets all series when it is reset', async () => {
  const gauge = new SlicedGauge('g', 'h', ['node']);
  gauge.set({ node: 'n1' }, 1);
  gauge.reset();
  expect(await gauge.render()).toBe('# HELP g h\n# TYPE g gauge');
});

it('a number without labels is one line', async () => {
  const gauge = new SlicedGauge('g', 'h', []);
  gauge.set({}, 7);
  expect(await gauge.render()).toBe('# HELP g h\n# TYPE g gauge\ng 7');
});

it('G8: leaves room for others while it writes a large table', async () => {
  const gauge = new SlicedGauge('g', 'h', ['node']);
  for (let i = 0; i < 5_000; i += 1) gauge.set({ node: `n${i}` }, i);
  let turns = 0;
  let isDone = false;
  const count = (): void => {
    turns += 1;
    if (!isDone) setImmediate(count);
  };
  setImmediate(count);
  const text = await gauge.render();
  isDone = true;
  expect(text.split('\n')).toHaveLength(5_002);
  expect(turns).toBeGreaterThanOrEqual(9);
});
