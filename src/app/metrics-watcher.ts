import { REWRITE_KINDS, type RewriteKind } from '../routing/rewrites.ts';
import type { RequestWatcher } from './request-watcher.ts';
import type { DecisionTelemetry } from './telemetry-port.ts';

const KINDS: ReadonlySet<unknown> = new Set(REWRITE_KINDS);

/** Tells the metrics what is changed in requests. */
export function metricsWatcher(telemetry: Pick<DecisionTelemetry, 'rewritten'>): RequestWatcher {
  return {
    placed: ({ edits }) => {
      for (const edit of edits) if ('why' in edit && isKind(edit.why)) telemetry.rewritten(edit.why);
    },
  };
}

function isKind(why: unknown): why is RewriteKind {
  return KINDS.has(why);
}
