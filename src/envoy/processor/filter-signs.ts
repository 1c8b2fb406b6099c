import type { ExtProcProblem } from '../../app/ext-proc-profile.ts';
import type { ProcessingMode_BodySendMode as BodyMode } from '../gen/envoy/extensions/filters/http/ext_proc/v3/processing_mode.ts';

/** What a filter should send, and what is wrong where it never does. */
const PROBLEM_OF = {
  requestBody: 'request_body_not_sent',
  answerHeaders: 'response_headers_not_sent',
  answerEnd: 'response_trailers_not_sent',
} as const satisfies Record<string, ExtProcProblem>;

export type FilterSign = keyof typeof PROBLEM_OF;

/** One that is missing may be a client that hung up. So many in a row are no accident. */
const STREAK = 10;

/**
 * Concludes from streams that ended too early how a filter is configured, as nothing else tells that. Filters that send bodies
 * in different ways are different filters: what one of them sends says nothing of the others.
 */
export class FilterSigns {
  readonly #report: (problem: ExtProcProblem) => void;
  readonly #missing = new Map<BodyMode, Record<FilterSign, number>>();

  constructor(report: (problem: ExtProcProblem) => void) {
    this.#report = report;
  }

  /** `mode`: how the filter sends bodies of requests. */
  note(sign: FilterSign, mode: BodyMode, came: boolean): void {
    const streaks = this.#streaksOf(mode);
    streaks[sign] = came ? 0 : streaks[sign] + 1;
    if (streaks[sign] >= STREAK) this.#report(PROBLEM_OF[sign]);
  }

  #streaksOf(mode: BodyMode): Record<FilterSign, number> {
    let streaks = this.#missing.get(mode);
    if (streaks === undefined) {
      streaks = { requestBody: 0, answerHeaders: 0, answerEnd: 0 };
      this.#missing.set(mode, streaks);
    }
    return streaks;
  }
}
