import { Line, type Place } from '../../../src/waiting/line.ts';
import { DEFAULT_LINE, type LinePolicy } from '../../../src/waiting/policy.ts';
import type { Caller, RequestClass, Waiter } from '../../../src/waiting/types.ts';

export interface TestWaiter extends Waiter {
  readonly name: string;
}

export function waiter(
  name: string,
  fields: Partial<Omit<TestWaiter, 'caller'>> & { caller?: string; class?: RequestClass } = {},
): TestWaiter {
  const { caller = 'somebody', class: requestClass = 'normal', ...rest } = fields;
  const who: Caller = { id: caller, class: requestClass, maxWaitMs: 30_000, isPrivileged: false };
  return {
    name,
    caller: who,
    model: 'm:latest',
    since: 0,
    until: 30_000,
    heldBytes: 0,
    tokens: 100,
    ...rest,
  };
}

/** A line and the time that its tests choose. */
export class LineBench {
  readonly line: Line<TestWaiter>;
  now = 0;

  constructor(policy: Partial<LinePolicy> = {}) {
    this.line = new Line(() => ({ ...DEFAULT_LINE, ...policy }));
  }

  join(name: string, fields: Parameters<typeof waiter>[1] & { group?: string } = {}): Place<TestWaiter> {
    const { group = 'g', ...rest } = fields;
    return this.line.join(waiter(name, { since: this.now, ...rest }), group);
  }

  /** Who is next in a group. */
  head(key = 'g'): string | undefined {
    return this.#head(key)?.waiter.name;
  }

  /** Serves the next of the group; unless told otherwise the request ends at once. */
  serve(key = 'g', ends = true): string | undefined {
    const place = this.#head(key);
    if (place === undefined) return undefined;
    const { waiter: served } = place;
    this.line.call(place);
    this.line.shares.starts(served.caller.id, served.tokens, true);
    if (ends) this.line.shares.ends(served.caller.id);
    return served.name;
  }

  /** Serves all, in order. */
  drain(key = 'g'): string[] {
    const names: string[] = [];
    for (let name = this.serve(key); name !== undefined; name = this.serve(key)) names.push(name);
    return names;
  }

  #head(key: string): Place<TestWaiter> | undefined {
    const group = [...this.line.groups].find((each) => each.key === key);
    return group && this.line.head(group, this.now);
  }
}

/** Jain's index: 1 is perfectly fair, 1/n is all for one. */
export function jain(shares: readonly number[]): number {
  const sum = shares.reduce((total, share) => total + share, 0);
  const squares = shares.reduce((total, share) => total + share * share, 0);
  return squares === 0 ? 1 : (sum * sum) / (shares.length * squares);
}
