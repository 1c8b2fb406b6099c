import { RIVAL_POLICIES } from '../../routing/rivals/names.ts';
import { type Comparison, measuresOf } from './comparison.ts';
import { geometricMean, type Measures } from './measure.ts';

export const WARMPATH = 'warmpath';
export const BOUND = 'clairvoyant';

/** Nobody sees a difference of so many seconds; figures below count as this where ratios are formed. */
const LEAST_SECONDS = 0.1;
/** The same for loads. */
const LEAST_RELOADS = 1;

/** A target, and how far it was reached. */
export interface Verdict {
  readonly target: string;
  readonly found: string;
  readonly isMet: boolean;
}

/** Geometric mean over all scenarios. */
export function overall(
  comparison: Comparison,
  policy: string,
  of: 'ttftP50' | 'ttftP95' | 'ttftP99' | 'completionP95' | 'reloads',
): number {
  const least = of === 'reloads' ? LEAST_RELOADS : LEAST_SECONDS;
  const values = comparison.scenarios.map(({ name }) => measuresOf(comparison, name, policy)[of]);
  return geometricMean(values, least);
}

/** The rival with the lowest figure in a scenario. */
export function bestRival(
  comparison: Comparison,
  scenario: string,
  of: (measures: Measures) => number,
): { readonly name: string; readonly value: number } {
  let best = { name: '', value: Number.POSITIVE_INFINITY };
  for (const name of rivalsIn(comparison)) {
    const value = of(measuresOf(comparison, scenario, name));
    if (value < best.value) best = { name, value };
  }
  return best;
}

/** The one rival that is best over all scenarios together. */
export function bestSingleRival(
  comparison: Comparison,
  of: 'ttftP95' | 'reloads',
): { name: string; value: number } {
  let best = { name: '', value: Number.POSITIVE_INFINITY };
  for (const name of rivalsIn(comparison)) {
    const value = overall(comparison, name, of);
    if (value < best.value) best = { name, value };
  }
  return best;
}

export function rivalsIn({ policies }: Comparison): string[] {
  const rivals: readonly string[] = RIVAL_POLICIES;
  return policies.filter((name) => rivals.includes(name));
}

/** Ours over theirs, differences that nobody sees left out. */
export function ratio(ours: number, theirs: number, least: number = LEAST_SECONDS): number {
  return Math.max(least, ours) / Math.max(least, theirs);
}

/** The targets that the project has set itself. */
export function verdicts(comparison: Comparison): Verdict[] {
  const ours = (scenario: string) => measuresOf(comparison, scenario, WARMPATH);
  const losses = comparison.scenarios
    .map(({ name }) => {
      const rival = bestRival(comparison, name, ({ ttftP95 }) => ttftP95);
      return { name, rival, ratio: ratio(ours(name).ttftP95, rival.value) };
    })
    // Half a percent is noise of the seeds.
    .filter((each) => each.ratio > 1.005);
  const p95 = overall(comparison, WARMPATH, 'ttftP95');
  const rivalP95 = bestSingleRival(comparison, 'ttftP95');
  const reloads = overall(comparison, WARMPATH, 'reloads');
  const rivalReloads = overall(comparison, rivalP95.name, 'reloads');
  const found: Verdict[] = [
    {
      target: 'p95 time to first token at or below the best rival in every scenario',
      found:
        losses.length === 0
          ? `in all ${comparison.scenarios.length}`
          : `in ${comparison.scenarios.length - losses.length} of ${comparison.scenarios.length}; not in ${losses
              .map((loss) => `${loss.name} (${loss.ratio.toFixed(2)} × ${loss.rival.name})`)
              .join(', ')}`,
      isMet: losses.length === 0,
    },
    {
      target: 'over all scenarios, p95 time to first token at most 0.5 × the best single rival',
      found: `${(p95 / rivalP95.value).toFixed(2)} × ${rivalP95.name}`,
      isMet: p95 <= 0.5 * rivalP95.value,
    },
    {
      target: 'reloads at most 1/3 of that rival',
      found: `${(reloads / rivalReloads).toFixed(2)} × ${rivalP95.name}`,
      isMet: reloads <= rivalReloads / 3,
    },
  ];
  if (comparison.policies.includes(BOUND)) {
    const bound = overall(comparison, BOUND, 'ttftP95');
    found.push({
      target: 'over all scenarios, within 1.5 × of the clairvoyant bound',
      found: `${(p95 / bound).toFixed(2)} × the bound`,
      isMet: p95 <= 1.5 * bound,
    });
  }
  return found;
}
