/** How many of them ran at the same moment, at the most. One that ends as another starts does not count beside it. */
export function mostAtOnce(
  requests: readonly { readonly startedAt: number; readonly endedAt: number | undefined }[],
): number {
  const events = requests.flatMap(({ startedAt, endedAt }) => [
    { at: startedAt, by: 1 },
    { at: endedAt ?? Number.POSITIVE_INFINITY, by: -1 },
  ]);
  events.sort((a, b) => a.at - b.at || a.by - b.by);
  let running = 0;
  let most = 0;
  for (const { by } of events) {
    running += by;
    most = Math.max(most, running);
  }
  return most;
}
