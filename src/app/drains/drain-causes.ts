import type { Drain, DrainCause, NodeId, NodeRecord } from '../../fleet/types.ts';

/** Why a node drains, its configuration included; `drain` is undefined for that one. Empty where it does not. */
export function drainCauses({
  spec,
  drains,
}: Pick<NodeRecord, 'spec' | 'drains'>): readonly (readonly [cause: DrainCause, drain: Drain | undefined])[] {
  return spec.drain ? [['configured', undefined], ...drains] : [...drains];
}

/** The nodes that drain, and why. */
export function* drainingNodes(
  records: Iterable<NodeRecord>,
): IterableIterator<readonly [NodeId, readonly DrainCause[]]> {
  for (const record of records) {
    const causes = drainCauses(record).map(([cause]) => cause);
    if (causes.length > 0) yield [record.spec.id, causes];
  }
}
