import type { Drain, DrainCause, NodeRecord } from '../fleet/types.ts';

/** Why a node drains, its configuration included; `drain` is undefined for that one. Empty where it does not. */
export function drainCauses({
  spec,
  drains,
}: Pick<NodeRecord, 'spec' | 'drains'>): readonly (readonly [cause: DrainCause, drain: Drain | undefined])[] {
  return spec.drain ? [['configured', undefined], ...drains] : [...drains];
}
