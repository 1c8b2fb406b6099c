import { describe, expect, it } from 'vitest';
import { RIVAL_POLICIES } from '../../../src/routing/rivals/names.ts';
import { type SimPolicy, simulate } from '../../../src/simulate/policies.ts';
import { type Measures, measure } from '../../../src/simulate/report/measure.ts';
import { SCENARIOS } from '../../../src/simulate/scenarios/catalogue.ts';

const REQUESTS = 1_200;

function runs(name: string, policies: readonly SimPolicy[]): Map<SimPolicy, Measures> {
  const scenario = SCENARIOS.get(name)?.(3, REQUESTS);
  if (scenario === undefined) throw new Error(`there is no scenario ${name}`);
  return new Map(
    policies.map((policy) => [policy, measure(simulate(scenario, policy, { seed: 3 }), scenario)]),
  );
}

/** Holds for any sensible placement; how much better Warmpath is than others is what docs/decisions.md tells. */
describe.each(['homelab', 'eight-on-two'])('in scenario %s', (name) => {
  const found = runs(name, ['warmpath', ...RIVAL_POLICIES]);
  const of = (policy: SimPolicy) => found.get(policy) as Measures; // sound: all were run

  it('answers every request, whoever decides', () => {
    for (const [policy, { unservedShare }] of found) expect(unservedShare, policy).toBe(0);
  });

  it.each(['random', 'round-robin', 'prefix-hash', 'fastest-response'] as const)(
    'is no worse than %s',
    (rival) => {
      expect(of('warmpath').ttftP95).toBeLessThanOrEqual(1.2 * of(rival).ttftP95);
      expect(of('warmpath').ttftP50).toBeLessThanOrEqual(of(rival).ttftP50);
    },
  );

  it('reloads at most half as often as those who do not look what is in memory', () => {
    for (const blind of ['random', 'round-robin', 'least-in-flight'] as const)
      expect(of('warmpath').reloads, blind).toBeLessThanOrEqual(of(blind).reloads / 2);
  });

  it('decides the same way every time', () => {
    for (const policy of ['warmpath', 'random', 'herd-score'] as const)
      expect(runs(name, [policy]).get(policy)).toEqual(of(policy));
  });
});
