import type { WaitReason } from '../../waiting/types.ts';
import type { Choice } from './chooser.ts';

/** Why a request that would go there waits. */
export function waitReason({ best }: Choice): WaitReason {
  switch (best.reason) {
    case 'loading':
      return 'loading';
    case 'loads_beside':
    case 'loads_evicting':
    case 'loads_unknown':
      return 'no_room';
    default:
      return 'slots_busy';
  }
}
