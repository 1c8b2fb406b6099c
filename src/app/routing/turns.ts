import type { Group } from '../../waiting/group.ts';
import type { Line, Place } from '../../waiting/line.ts';
import { isBefore, type Urgency } from '../../waiting/urgency.ts';
import type { Choice } from './chooser.ts';
import type { Standing } from './standing.ts';

/** A model that must be loaded waits for as many of its loads, at least, while others use their node well. */
const LOADS_PATIENCE = 2;

/** The first of a group, and where it would go now. */
export interface Candidate {
  readonly place: Place<Standing>;
  readonly choice: Choice;
  readonly urgency: Urgency;
}

/**
 * Whose turn it is among those that could begin. Those whose model is in memory go before those of about equal right who must load
 * theirs, until these have been passed over for long enough.
 */
export class Turns {
  readonly #line: Line<Standing>;
  readonly #ageingMs: () => number;

  constructor(line: Line<Standing>, ageingMs: () => number) {
    this.#line = line;
    this.#ageingMs = ageingMs;
  }

  /** Whose turn it is among those that could begin. */
  next(open: readonly Candidate[], now: number): Candidate | undefined {
    let best: Candidate | undefined;
    for (const candidate of open) {
      if (this.isBlocked(candidate.choice.best.id, candidate.place, now)) continue;
      if (best === undefined) best = candidate;
      else {
        const penalty = this.#penalty(candidate, now);
        if (isBefore(candidate.urgency, best.urgency, penalty, this.#penalty(best, now))) best = candidate;
      }
    }
    return best;
  }

  /** 1 where the model must be loaded first, unless others have gone first for that reason for long enough. */
  #penalty({ choice, place }: Candidate, now: number): 0 | 1 {
    return choice.best.isWarm || this.#isOverdue(place.group, now) ? 0 : 1;
  }

  /** Others who were not due before its first have been given the node that it waits for, for so long that it is its turn now. */
  #isOverdue({ passedOverSince, patienceMs }: Group<Standing>, now: number): boolean {
    return passedOverSince !== undefined && now - passedOverSince > patienceMs;
  }

  /** At least as long as its load is worth; but half of its time must be left. */
  patienceMs({ best }: Choice, { caller }: Standing): number {
    const worthMs = Math.max(this.#ageingMs(), best.terms.load * LOADS_PATIENCE * 1000);
    return Math.min(worthMs, caller.maxWaitMs / 2);
  }

  /**
   * Somebody who is due before `place` (undefined: a newcomer) was passed over on this node for long enough: while others keep it
   * busy, its turn would never come.
   */
  isBlocked(node: string, place: Place<Standing> | undefined, now: number): boolean {
    for (const group of this.#line.groups) {
      if (group.wants !== node || group === place?.group || !this.#isOverdue(group, now)) continue;
      const head = this.#line.head(group, now);
      if (head === undefined) continue;
      if (place === undefined || isBefore(this.#line.urgency(head, now), this.#line.urgency(place, now)))
        return true;
    }
    return false;
  }

  /** The node goes to `group`: whoever else waits for it is passed over from now on, unless it was before. */
  notePassed(node: string, starting: Group<Standing> | undefined, now: number): void {
    for (const group of this.#line.groups)
      if (group !== starting && group.wants === node) group.passedOverSince ??= now;
  }
}
