import type { BodyEdit } from '../request/types.ts';

/** The context as it goes out: what an edit sets, else what was asked for; undefined: the node's default. */
export function sentContext(asked: number | undefined, edits: readonly BodyEdit[]): number | undefined {
  for (const edit of edits) if (edit.field === 'num_ctx') return edit.to;
  return asked;
}
