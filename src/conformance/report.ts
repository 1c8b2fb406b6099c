import { stripVTControlCharacters } from 'node:util';
import type { CaseResult } from './run.ts';

export interface Counts {
  readonly pass: number;
  readonly fail: number;
  readonly skip: number;
  readonly notApplicable: number;
  /** Of those that failed: the ones that make a picker not conform. */
  readonly failedMust: number;
}

export function countResults(results: readonly CaseResult[]): Counts {
  const count = (result: CaseResult['result']): number =>
    results.filter((each) => each.result === result).length;
  return {
    pass: count('pass'),
    fail: count('fail'),
    skip: count('skip'),
    notApplicable: count('not applicable'),
    failedMust: results.filter((each) => each.result === 'fail' && each.level === 'MUST').length,
  };
}

const WORDS = { pass: 'pass', fail: 'FAIL', skip: 'skip', 'not applicable': 'n/a' } as const;

/** One line per case; what was expected and seen below those that failed, the reason below those not tried. */
export function caseLines(result: CaseResult): string {
  const head = `${WORDS[result.result].padEnd(5)} ${result.level.padEnd(7)} ${result.id.padEnd(7)} ${result.title}`;
  const below: string[] = [];
  if (result.result === 'fail') {
    below.push(`expected: ${result.expected}`, `seen:     ${result.seen}`, `text:     ${result.source}`);
  } else if (result.result !== 'pass') {
    below.push(result.reason);
  }
  // What a picker says must not write into the terminal.
  return `${[head, ...below.map((line) => `${' '.repeat(22)}${plain(line)}`)].join('\n')}\n`;
}

export function summary(results: readonly CaseResult[]): string {
  const { pass, fail, skip, notApplicable, failedMust } = countResults(results);
  const verdict =
    failedMust > 0
      ? `does not conform: ${failedMust} MUST ${failedMust === 1 ? 'is' : 'are'} not met`
      : 'every MUST that was tried is met';
  return `\n${pass} passed, ${fail} failed, ${skip} skipped, ${notApplicable} not applicable: ${verdict}\n`;
}

function plain(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is to be taken out
  return stripVTControlCharacters(text).replace(/[\u0000-\u001f\u007f-\u009f]/g, ' ');
}
