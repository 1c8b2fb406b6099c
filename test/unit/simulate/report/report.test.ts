import { describe, expect, it } from 'vitest';
import { compare } from '../../../../src/simulate/report/comparison.ts';
import { reportTables } from '../../../../src/simulate/report/markdown.ts';
import { renderReport } from '../../../../src/simulate/report/render-report.ts';
import { bestRival, bestSingleRival, overall, verdicts } from '../../../../src/simulate/report/verdict.ts';
import { comparedResult, comparison, outcome, smallScenario } from './builders.ts';

const met = (found: ReturnType<typeof verdicts>) => found.map(({ isMet }) => isMet);

describe('verdicts', () => {
  it('meets all targets where it is far ahead and near the bound', () => {
    const found = verdicts(
      comparison({
        warmpath: { p95: [1, 2], reloads: 3 },
        random: { p95: [4, 8], reloads: 90 },
        'herd-score': { p95: [3, 6], reloads: 9 },
        clairvoyant: { p95: [0.9, 1.8] },
      }),
    );
    expect(met(found)).toEqual([true, true, true, true]);
  });

  it('names the scenarios where a rival is better', () => {
    const found = verdicts(
      comparison({
        warmpath: { p95: [1, 4] },
        random: { p95: [4, 2] },
        clairvoyant: { p95: [1, 1] },
      }),
    );
    expect(met(found)).toEqual([false, false, false, false]);
    expect(found[0]?.found).toContain('b (2.00 × random)');
  });

  it('counts differences that nobody sees as none', () => {
    const found = verdicts(comparison({ warmpath: { p95: [0.09, 1] }, random: { p95: [0.01, 1] } }));
    expect(found[0]?.isMet).toBe(true);
  });

  it('knows the best rival of each scenario, and the one that is best over all', () => {
    const compared = comparison({
      warmpath: { p95: [1, 1] },
      random: { p95: [2, 50] },
      'tier-score': { p95: [3, 3] },
      clairvoyant: { p95: [0.5, 0.5] },
    });
    expect(bestRival(compared, 'a', ({ ttftP95 }) => ttftP95)).toEqual({ name: 'random', value: 2 });
    expect(bestSingleRival(compared, 'ttftP95').name).toBe('tier-score');
    expect(overall(compared, 'random', 'ttftP95')).toBeCloseTo(10);
  });
});

describe('report', () => {
  const compared = comparison({
    random: { p95: [2, 3] },
    clairvoyant: { p95: [0.5, 0.6] },
    warmpath: { p95: [1, 2] },
  });
  const where = { plotFolder: 'decisions', command: 'make it' };

  it('has a row for each policy in each scenario, and is the same each time', () => {
    const text = reportTables(compared);
    for (const name of ['a', 'b']) {
      const section = text.slice(text.indexOf(`### ${name}\n`));
      for (const policy of ['random', 'clairvoyant', '**warmpath**'])
        expect(section).toContain(`| ${policy}`);
    }
    expect(reportTables(compared)).toBe(text);
  });

  it('replaces what was generated and nothing else', () => {
    const before = 'Mine.\n\n<!-- generated: begin -->\n\nold\n\n<!-- generated: end -->\n\nMine too.\n';
    const { document } = renderReport(compared, before, where);
    expect(document.startsWith('Mine.\n')).toBe(true);
    expect(document.endsWith('\n\nMine too.\n')).toBe(true);
    expect(document).not.toContain('old');
    expect(renderReport(compared, document, where).document).toBe(document);
  });

  it('refuses a document that has no place for it, and makes one where there is none', () => {
    expect(() => renderReport(compared, 'all mine', where)).toThrow('generated: begin');
    expect(renderReport(compared, undefined, where).document).toContain('make it');
  });

  it('draws plots that are well-formed, whole and show every figure', () => {
    const { document, plots } = renderReport(compared, undefined, where);
    for (const [path, svg] of plots) {
      expect(document).toContain(`](${path})`);
      expect(svg).not.toMatch(/NaN|undefined|Infinity/);
      const open = [...svg.matchAll(/<([a-z]+)[^>]*[^/]>/g)].length;
      expect([...svg.matchAll(/<\/[a-z]+>/g)].length).toBe(open);
      for (const policy of compared.policies) expect(svg).toContain(policy);
    }
    expect(plots.get('decisions/first-token-p95.svg')).toContain('b, warmpath: 2 s');
  });

  it('keeps names that look like markup from becoming it', () => {
    const odd = comparison({ warmpath: { p95: [1, 1] }, random: { p95: [1, 1] }, '<b>&': { p95: [1, 1] } });
    for (const svg of renderReport(odd, undefined, where).plots.values())
      expect(svg).toContain('&lt;b&gt;&amp;');
  });
});

describe('compare', () => {
  it('runs every policy over the same requests of every seed, and takes the mean', () => {
    const asked: string[] = [];
    const result = compare({
      scenarios: new Map([['small', () => smallScenario()]]),
      policies: ['warmpath', 'random'],
      seeds: [1, 2],
      simulate: (_scenario, policy, seed) => {
        asked.push(`${policy} ${seed}`);
        return comparedResult({ outcomes: [outcome(0, { firstTokenAt: seed * 1_000 })], reloads: seed });
      },
    });
    expect(asked).toEqual(['warmpath 1', 'warmpath 2', 'random 1', 'random 2']);
    expect(result.measures.small?.random).toMatchObject({ ttftP95: 1.5, reloads: 1.5 });
  });
});
