import type { Group } from './group.ts';
import {
  type LineReport,
  type LineShare,
  REQUEST_CLASSES,
  type RequestClass,
  type Waiter,
  type WaitReason,
} from './types.ts';

/** More than a person reads. */
const MAX_SHARES = 50;

/** The line as people see it. */
export function lineReport<W extends Waiter>(
  groups: Iterable<Group<W>>,
  bytes: number,
  now: number,
): LineReport {
  const byClass = Object.fromEntries(REQUEST_CLASSES.map((name) => [name, 0])) as Record<
    RequestClass,
    number
  >; // sound: all names are there
  const byReason: Record<WaitReason, number> = { slots_busy: 0, loading: 0, no_room: 0 };
  const models = new Map<string, LineShare>();
  const callers = new Map<string, LineShare>();
  let length = 0;
  let oldestMs: number | undefined;
  for (const group of groups) {
    byReason[group.reason] += group.size;
    for (const { waiter } of group.places()) {
      const age = Math.max(0, now - waiter.since);
      length += 1;
      byClass[waiter.caller.class] += 1;
      oldestMs = Math.max(oldestMs ?? 0, age);
      count(models, waiter.model, age);
      count(callers, waiter.caller.id, age);
    }
  }
  return { length, bytes, oldestMs, byClass, byModel: longest(models), byCaller: longest(callers), byReason };
}

function count(shares: Map<string, LineShare>, name: string, age: number): void {
  const known = shares.get(name);
  shares.set(name, {
    name,
    waiting: (known?.waiting ?? 0) + 1,
    oldestMs: Math.max(known?.oldestMs ?? 0, age),
  });
}

function longest(shares: ReadonlyMap<string, LineShare>): LineShare[] {
  return [...shares.values()].sort((a, b) => b.waiting - a.waiting).slice(0, MAX_SHARES);
}
