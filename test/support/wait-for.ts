export interface WaitOptions {
  readonly timeoutMs?: number;
  readonly intervalMs?: number;
  /** Why to stop waiting early, e.g. because the process under test has died. */
  readonly gaveUp?: () => string | undefined;
}

/**
 * Polls until `probe` answers something other than false, null or undefined, and returns it. A probe that throws counts
 * as "not yet". For tests with real processes only: unit tests have a FakeClock.
 */
export async function waitFor<T>(
  what: string,
  probe: () => Promise<T | false | null | undefined> | T | false | null | undefined,
  { timeoutMs = 10_000, intervalMs = 25, gaveUp = () => undefined }: WaitOptions = {},
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  let lastError: unknown;
  for (;;) {
    try {
      const answer = await probe();
      if (answer !== false && answer !== null && answer !== undefined) return answer;
      lastError = undefined;
    } catch (error) {
      lastError = error;
    }
    const reason = gaveUp();
    if (reason !== undefined) throw new Error(`waiting for ${what}: ${reason}`, { cause: lastError });
    if (performance.now() >= deadline) {
      const last = lastError instanceof Error ? ` (last: ${lastError.message})` : '';
      throw new Error(`waited ${timeoutMs} ms for ${what}${last}`, { cause: lastError });
    }
    await new Promise((resolve) => setTimeout(resolve, intervalMs));
  }
}

/** For the few tests in which time itself is the subject. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
