import { type Facts, freeSlots } from './facts.ts';
import type { Eviction } from './terms/eviction.ts';

/** Whether the node can begin with the request now: a slot is free there, and no other load is in the way of its own. */
export function mayStartNow(facts: Facts, eviction: Eviction, now: number): boolean {
  const { node, state, onModel, onOtherLoads } = facts;
  if (state === 'none') return true;
  if (node.busyUntil > now) return false;
  const hasSlot = freeSlots(facts) > 0;
  switch (state) {
    case 'warm':
      return hasSlot || mayProbeSlots(facts, now);
    case 'loading':
      return hasSlot;
    case 'reload':
      return hasSlot && onModel === 0 && onOtherLoads === 0;
    case 'cold':
      return hasSlot && onOtherLoads === 0 && eviction.waitSeconds === 0;
  }
}

/** One request more than the believed slots, now and then: how else would a slot more ever show itself? */
function mayProbeSlots({ node, onModel, admitted, service }: Facts, now: number): boolean {
  if (node.slotsSource !== 'learnt' || node.admission < 1) return false;
  return now >= node.probeSlotsAt && onModel === admitted && admitted === service.slots;
}
