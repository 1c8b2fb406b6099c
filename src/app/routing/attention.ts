import type { Group } from '../../waiting/group.ts';
import type { Line } from '../../waiting/line.ts';
import { isBefore, type Urgency } from '../../waiting/urgency.ts';
import type { Standing } from './standing.ts';

/** Groups that are always looked at: those whose first is the most urgent. */
const MOST_URGENT = 48;
/** Of the others so many, in turn. */
const OTHERS = 16;

/**
 * Which groups of waiters one look ranks. There are few unless clients ask for ever other contexts or fallbacks; then a look
 * would take as long as all their rankings, for each slot that becomes free.
 */
export class Attention {
  readonly #line: Line<Standing>;
  #turn = 0;

  constructor(line: Line<Standing>) {
    this.#line = line;
  }

  on(groups: readonly Group<Standing>[], now: number): readonly Group<Standing>[] {
    if (groups.length <= MOST_URGENT + OTHERS) return groups;
    const heads: { group: Group<Standing>; urgency: Urgency }[] = [];
    for (const group of groups) {
      const head = this.#line.head(group, now);
      if (head !== undefined) heads.push({ group, urgency: this.#line.urgency(head, now) });
    }
    heads.sort((a, b) => (isBefore(a.urgency, b.urgency) ? -1 : 1));
    const others = heads.splice(MOST_URGENT);
    for (let i = 0; i < Math.min(OTHERS, others.length); i += 1) {
      this.#turn = (this.#turn + 1) % others.length;
      const other = others[this.#turn];
      if (other !== undefined) heads.push(other);
    }
    return heads.map(({ group }) => group);
  }
}
