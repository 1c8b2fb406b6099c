import { expect, it } from 'vitest';
import { RenderCache } from '../../../src/api/render-cache.ts';
import { aSnapshot } from './fleet-builder.ts';

it('keeps what was dear to make a while, however often the snapshot changes', () => {
  let now = 0;
  let version = 1;
  let made = 0;
  const cache = new RenderCache(
    () => aSnapshot([], version),
    (snapshot) => {
      now += 5;
      made += 1;
      return snapshot.version;
    },
    () => now,
  );
  expect(cache.get()).toBe(1);
  for (version = 2; version < 50; version += 1) {
    now += 2;
    expect(cache.get()).toBe(1);
  }
  now += 4;
  expect(cache.get()).toBe(50);
  expect(made).toBe(2);
});

it('follows every snapshot where making costs nothing', () => {
  let version = 1;
  const cache = new RenderCache(
    () => aSnapshot([], version),
    (snapshot) => snapshot.version,
    () => 0,
  );
  expect(cache.get()).toBe(1);
  version = 2;
  expect(cache.get()).toBe(2);
});
