import type { PromptNotes } from './prompt-notes.ts';
import type { RequestWatcher } from './request-watcher.ts';

/** What a slot's cache held is overwritten as soon as a request begins there, not when its answer ends. */
export function promptWatcher(notes: Pick<PromptNotes, 'note'>): RequestWatcher {
  return {
    placed: ({ request, ranking }) => {
      const first = ranking.nodes[0];
      if (first?.isWarm === true) notes.note(first.id, request.model.key, request.prefixes);
    },
  };
}
