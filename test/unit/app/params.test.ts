import { expect, it } from 'vitest';
import { fleetParams, routingParams } from '../../../src/app/params.ts';
import { DEFAULT_HEALTH } from '../../../src/fleet/params.ts';
import { DEFAULT_ROUTING } from '../../../src/routing/params.ts';
import { loadText } from '../config/load-text.ts';

it.each([
  ['profile: epp, minEndpoints: 2', 2, 3],
  ['profile: epp, minEndpoints: 6', 6, 6],
  ['profile: epp-single', 1, 1],
  ['profile: own', 1, 3],
])('with { %s } an answer names %i to %i nodes', async (fields, least, most) => {
  const { config } = await loadText(`extProc: { ${fields} }`);
  expect(routingParams(config)).toMatchObject({ minAttempts: least, maxAttempts: most });
});

it('what an operator sets reaches routing and health, the rest keeps its priors', async () => {
  const { config } = await loadText(`
routing: { maxAttempts: 2, firstByteTimeout: 7s, loadTimeout: 3m, answerTimeout: 4m, defaultLoadRate: 1GiB }
health: { downAfter: 5, readmitAfter: 1s, readmitMax: 9s, slowStart: 0s }
`);
  expect(routingParams(config)).toEqual({
    ...DEFAULT_ROUTING,
    maxAttempts: 2,
    firstByteTimeoutMs: 7_000,
    loadTimeoutMs: 180_000,
    answerTimeoutMs: 240_000,
    defaultLoadBytesPerSecond: 1024 ** 3,
  });
  expect(fleetParams(config)).toEqual({
    ...DEFAULT_HEALTH,
    downAfter: 5,
    readmitAfterMs: 1_000,
    readmitMaxMs: 9_000,
    slowStartMs: 0,
  });
});

it('an empty configuration is the priors', async () => {
  const { config } = await loadText('{}');
  expect(routingParams(config)).toEqual(DEFAULT_ROUTING);
  expect(fleetParams(config)).toEqual(DEFAULT_HEALTH);
});

it('a fleet that is polled seldom is not stale between its polls', async () => {
  const { config } = await loadText('poll: { interval: 20s }');
  expect(routingParams(config).freshMs).toBe(60_000);
});
