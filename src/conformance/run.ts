import { type Case, NotApplicable, Skipped, Unmet } from './case.ts';
import type { Picker } from './picker.ts';

export type Result =
  | { readonly result: 'pass'; readonly seen: string | undefined }
  | { readonly result: 'fail'; readonly expected: string; readonly seen: string }
  | { readonly result: 'skip' | 'not applicable'; readonly reason: string };

export type CaseResult = Pick<Case, 'id' | 'title' | 'level' | 'source'> & Result & { readonly ms: number };

/** How long a picker may take to be back, where a case has ended it and something restarts it. */
const BACK_MS = 1_000;
const RETRY_MS = 100;

/** Tries the cases one after the other; each begins without any connection of the one before. */
export async function runCases(
  picker: Picker,
  cases: readonly Case[],
  onResult: (result: CaseResult) => void = () => undefined,
): Promise<readonly CaseResult[]> {
  const results: CaseResult[] = [];
  let ended: string | undefined;
  for (const each of cases) {
    const { id, title, level, source } = each;
    const at = performance.now();
    let result: Result =
      ended === undefined
        ? await tryCase(picker, each)
        : { result: 'skip', reason: `nothing answers any more since ${ended}` };
    picker.disconnect();
    // What ends the picker is this case's failure, not that of all the others.
    const mayHaveEnded = result.result === 'fail' && ended === undefined && each.endsPicker !== true;
    if (result.result === 'fail' && mayHaveEnded && !(await isThere(picker))) {
      ended = id;
      result = { ...result, seen: `${result.seen}; afterwards nothing answers any more` };
    }
    const all = { id, title, level, source, ...result, ms: Math.round(performance.now() - at) };
    results.push(all);
    onResult(all);
  }
  return results;
}

async function tryCase(picker: Picker, each: Case): Promise<Result> {
  try {
    return { result: 'pass', seen: await each.run(picker) };
  } catch (error) {
    if (error instanceof Unmet) return { result: 'fail', expected: error.expected, seen: error.seen };
    if (error instanceof Skipped) return { result: 'skip', reason: error.message };
    if (error instanceof NotApplicable) return { result: 'not applicable', reason: error.message };
    const problem = error instanceof Error ? error.message : String(error);
    return { result: 'fail', expected: 'a picker that answers', seen: problem };
  }
}

async function isThere(picker: Picker): Promise<boolean> {
  const deadline = performance.now() + BACK_MS;
  do {
    try {
      await picker.connect();
      picker.disconnect();
      return true;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  } while (performance.now() < deadline);
  return false;
}
