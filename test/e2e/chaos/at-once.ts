import type { RecordedRequest } from '../../../src/demo/request-log.ts';

export interface AtOnce {
  /** How many ran at the same time at most. */
  readonly most: number;
  /** How many began when `slots` others ran already. */
  readonly above: number;
}

/** What one node ran at the same time. */
export function atOnce(requests: readonly RecordedRequest[], slots: number): AtOnce {
  const changes = requests
    .flatMap(({ startedAt, endedAt = Number.POSITIVE_INFINITY }) => [
      { at: startedAt, by: 1 },
      { at: endedAt, by: -1 },
    ])
    .sort((a, b) => a.at - b.at || a.by - b.by);
  let running = 0;
  let most = 0;
  let above = 0;
  for (const { by } of changes) {
    running += by;
    most = Math.max(most, running);
    if (by === 1 && running > slots) above += 1;
  }
  return { most, above };
}
