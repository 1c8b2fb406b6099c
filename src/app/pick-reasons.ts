import type { PickReason } from '../routing/types.ts';

/** For schemas. A record rather than a list: a reason that is missing here does not compile. */
export const PICK_REASONS: { [Reason in PickReason]: Reason } = {
  warm_idle: 'warm_idle',
  warm_busy: 'warm_busy',
  loading: 'loading',
  loads_beside: 'loads_beside',
  loads_evicting: 'loads_evicting',
  loads_unknown: 'loads_unknown',
  any: 'any',
  last_resort: 'last_resort',
};
