/** Policies of other routers, written from their public descriptions: to compare with, in the simulator and beside live traffic. */
export const RIVAL_POLICIES = [
  'random',
  'round-robin',
  'least-in-flight',
  'fastest-response',
  'herd-score',
  'tier-score',
  'prefix-hash',
] as const;
export type RivalName = (typeof RIVAL_POLICIES)[number];

/** Those that decide about one request at a time, and so can be asked beside live traffic. */
export const SHADOW_POLICIES = RIVAL_POLICIES;
