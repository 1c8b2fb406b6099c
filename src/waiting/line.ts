import type { ModelKey } from '../fleet/types.ts';
import { FairShares } from './fair-shares.ts';
import { Group, type Place } from './group.ts';
import { mayMeet } from './may-meet.ts';
import type { LinePolicy } from './policy.ts';
import { lineReport } from './report.ts';
import type { Caller, LineReport, Waiter } from './types.ts';
import { classRank, type Urgency, urgencyOf } from './urgency.ts';

export type { Place } from './group.ts';

/**
 * The requests that wait for a slot, in order: by class, which age improves; then fairly between callers, by tokens; then
 * those whose model the slot has in memory; then by arrival. Bounded in number and bytes. Pure: whoever keeps it decides when
 * somebody's turn has come. A group is asked for its first or last waiter in O(callers that wait in it).
 */
export class Line<W extends Waiter> {
  readonly shares = new FairShares();
  readonly #policy: () => LinePolicy;
  readonly #groups = new Map<string, Group<W>>();
  #arrivals = 0;
  #size = 0;
  #bytes = 0;

  constructor(policy: () => LinePolicy) {
    this.#policy = policy;
  }

  get size(): number {
    return this.#size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get groups(): Iterable<Group<W>> {
    return this.#groups.values();
  }

  /** Whether one more would be too many. An empty line takes anybody. */
  isFull(heldBytes: number): boolean {
    const { maxRequests, maxBytes } = this.#policy();
    return this.#size >= maxRequests || (this.#size > 0 && this.#bytes + heldBytes > maxBytes);
  }

  /** `group`: the same for waiters that any slot suits equally. */
  join(waiter: W, groupKey: string): Place<W> {
    let group = this.#groups.get(groupKey);
    if (group === undefined) {
      group = new Group(groupKey, waiter.model, waiter.among);
      this.#groups.set(groupKey, group);
    }
    this.#arrivals += 1;
    const place: Place<W> = {
      waiter,
      group,
      order: this.#arrivals,
      rank: classRank(waiter.caller.class),
      link: undefined,
    };
    this.shares.waits(waiter.caller.id);
    this.#enter(place);
    return place;
  }

  /** Gives up: not served. False when it is not in the line. */
  leave(place: Place<W>): boolean {
    if (!this.#exit(place)) return false;
    this.shares.leaves(place.waiter.caller.id);
    return true;
  }

  /** Its turn has come: out of the line, but still waiting as far as its caller's share is concerned. */
  call(place: Place<W>): boolean {
    return this.#exit(place);
  }

  /** It was called in vain and takes its old place again. */
  recall(place: Place<W>): void {
    this.#enter(place);
  }

  head(group: Group<W>, now: number): Place<W> | undefined {
    return group.head(this.shares, this.#policy().ageingMs, now);
  }

  tail(group: Group<W>, now: number): Place<W> | undefined {
    return group.tail(this.shares, this.#policy().ageingMs, now);
  }

  urgency(place: Place<W>, now: number): Urgency {
    const { id } = place.waiter.caller;
    const { shares } = this;
    return urgencyOf(place, shares.had(id), shares.running(id), this.#policy().ageingMs, now);
  }

  /** Requests for the model that are due before one that came now and may go to `among`, about. */
  ahead(model: ModelKey, caller: Caller, now: number, among?: Waiter['among']): number {
    const { ageingMs } = this.#policy();
    const rank = classRank(caller.class);
    let ahead = 0;
    for (const group of this.#rivals(model, among)) ahead += group.ahead(caller.id, rank, ageingMs, now);
    return ahead;
  }

  /** All that wait for the model on nodes of `among`. */
  waitingFor(model: ModelKey, among?: Waiter['among']): number {
    let count = 0;
    for (const group of this.#rivals(model, among)) count += group.size;
    return count;
  }

  *#rivals(model: ModelKey, among: Waiter['among']): Iterable<Group<W>> {
    for (const group of this.#groups.values())
      if (group.model === model && mayMeet(group.among, among)) yield group;
  }

  report(now: number): LineReport {
    return lineReport(this.#groups.values(), this.#bytes, now);
  }

  #enter(place: Place<W>): void {
    this.#groups.set(place.group.key, place.group);
    place.group.add(place);
    this.#size += 1;
    this.#bytes += place.waiter.heldBytes;
  }

  #exit(place: Place<W>): boolean {
    if (!place.group.remove(place)) return false;
    this.#size -= 1;
    this.#bytes -= place.waiter.heldBytes;
    if (place.group.size === 0) this.#groups.delete(place.group.key);
    return true;
  }
}
