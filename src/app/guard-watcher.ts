import type { Clock } from './ports.ts';
import type { QueryGuard } from './query-guard.ts';
import type { RequestWatcher } from './request-watcher.ts';

/** Tells the guard which bodies were running where when a node failed, and which ones were answered. */
export function guardWatcher(guard: QueryGuard, clock: Clock): RequestWatcher {
  return {
    attemptFailed: ({ request }, node, reason) =>
      guard.failed(request.fingerprint, node, reason, clock.now()),
    ended: ({ request }, _node, { end, status }) => {
      if (end === 'complete' && status < 400) guard.served(request.fingerprint);
    },
  };
}
