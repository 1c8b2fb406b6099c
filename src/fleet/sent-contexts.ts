import type { ModelKey, NodeRecord, ResidentModel, SentContexts } from './types.ts';

const MAX_MODELS = 64;
/** A poll that shows another context so soon after the request may be older than the load. */
const DISPUTED_MS = 10_000;
/** For so long a model that is not listed is taken for one that is being loaded: Ollama lists none before its load has ended. */
const UNLISTED_MS = 300_000;

/**
 * A request with this context went to the node: the next one for the model should join it there. Polls tell it too late, as a
 * slot that becomes free is given away before the next of them.
 */
export function withSentContext(node: NodeRecord, key: ModelKey, numCtx: number, now: number): NodeRecord {
  const known = node.sentContexts?.get(key)?.numCtx ?? node.resident.get(key)?.contextLength;
  if (known === numCtx || isLoadedByAnotherName(node, key)) return node;
  const sent = new Map(node.sentContexts);
  sent.delete(key);
  sent.set(key, { numCtx, at: now });
  for (const oldest of sent.keys()) {
    if (sent.size <= MAX_MODELS) break;
    sent.delete(oldest);
  }
  return { ...node, sentContexts: sent };
}

/** Polls name a model once, by the name that loaded it: of the other names they say nothing. */
function isLoadedByAnotherName(node: NodeRecord, key: ModelKey): boolean {
  const digest = node.models.get(key)?.digest;
  if (digest === undefined || digest === '' || node.resident.has(key)) return false;
  for (const loaded of node.resident.values()) if (loaded.digest === digest) return true;
  return false;
}

/** What is left of them after a poll that listed these models. */
export function sentContextsAfter(
  sent: SentContexts | undefined,
  models: readonly ResidentModel[],
  now: number,
): SentContexts | undefined {
  if (sent === undefined) return undefined;
  const listed = new Map(models.map((model) => [model.key, model.contextLength]));
  const left = [...sent].filter(([key, { numCtx, at }]) => {
    const context = listed.get(key);
    if (context === numCtx) return false;
    return now - at < (listed.has(key) ? DISPUTED_MS : UNLISTED_MS);
  });
  if (left.length === sent.size) return sent;
  return left.length === 0 ? undefined : new Map(left);
}
