import type { ExtProcProblem } from '../../app/ext-proc-profile.ts';

/** What a filter should send, and what is wrong where it never does. */
const PROBLEM_OF = {
  requestBody: 'request_body_not_sent',
  answerHeaders: 'response_headers_not_sent',
  answerEnd: 'response_trailers_not_sent',
} as const satisfies Record<string, ExtProcProblem>;

export type FilterSign = keyof typeof PROBLEM_OF;

/** One that is missing may be a client that hung up. So many in a row are no accident. */
const STREAK = 10;

/** Concludes from streams that ended too early how a filter is configured, as nothing else tells that. */
export class FilterSigns {
  readonly #report: (problem: ExtProcProblem) => void;
  readonly #missing: Record<FilterSign, number> = { requestBody: 0, answerHeaders: 0, answerEnd: 0 };

  constructor(report: (problem: ExtProcProblem) => void) {
    this.#report = report;
  }

  note(sign: FilterSign, came: boolean): void {
    const missing = came ? 0 : this.#missing[sign] + 1;
    this.#missing[sign] = missing;
    if (missing >= STREAK) this.#report(PROBLEM_OF[sign]);
  }
}
