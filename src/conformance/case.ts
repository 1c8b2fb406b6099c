import type { Picker } from './picker.ts';

/** RFC 2119: only a MUST that is not met makes the run fail. What a MAY offers must still be right where it is offered. */
export type Level = 'MUST' | 'SHOULD' | 'MAY';

export interface Case {
  /** Stable: names a case in reports, in `--only` and in the documentation. */
  readonly id: string;
  readonly title: string;
  readonly level: Level;
  /** The text that the expectation comes from. */
  readonly source: string;
  /** Ends the picker's process, where it is told which one that is. */
  readonly endsPicker?: true;
  /** Returns, perhaps with what was seen, where all is as expected; else throws one of the errors below. */
  run(picker: Picker): Promise<string | undefined>;
}

/** What the text demands is not so. */
export class Unmet extends Error {
  readonly expected: string;
  readonly seen: string;

  constructor(expected: string, seen: string) {
    super(`expected ${expected}; seen: ${seen}`);
    this.expected = expected;
    this.seen = seen;
  }
}

/** It could not be tried; another set of options would. */
export class Skipped extends Error {}

/** It has no meaning for this picker. */
export class NotApplicable extends Error {}

export function demand(isSo: boolean, expected: string, seen: string): asserts isSo {
  if (!isSo) throw new Unmet(expected, seen);
}
