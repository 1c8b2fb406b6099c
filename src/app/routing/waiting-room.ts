import { RouterError } from '../../request/errors.ts';
import type { RouteRequest } from '../../request/types.ts';
import type { Group } from '../../waiting/group.ts';
import { Line, type Place } from '../../waiting/line.ts';
import { DEFAULT_LINE } from '../../waiting/policy.ts';
import type { LineReport } from '../../waiting/types.ts';
import { isBefore, type Urgency } from '../../waiting/urgency.ts';
import type { LineOutcome } from '../telemetry-port.ts';
import type { RouteDecision } from '../types.ts';
import { Alarm } from './alarm.ts';
import { type Choice, type Chooser, nobodyAhead } from './chooser.ts';
import type { ClaimedInflight } from './claims.ts';
import type { RouterDependencies } from './dependencies.ts';
import { type Dispatch, leasedModel } from './dispatcher.ts';
import { cannotBegin, lineFull, noSlotInTime } from './line-refusals.ts';
import { seededBy } from './seeded.ts';
import { slotsOf } from './slots.ts';
import { type Arrival, groupOf, mayBegin, Standing } from './standing.ts';
import { predictedTokens } from './tokens.ts';
import { waitReason } from './wait-reason.ts';

/** Estimates of when a slot becomes free are looked at again no more often than this, and no less often than that. */
const MIN_LOOK_MS = 250;
const MAX_LOOK_MS = 1_000;
/** Changes of the fleet come in bursts. */
const FLEET_PAUSE_MS = 20;
/** A slot that another control plane took is asked for again after this time, unless its counts come first. */
const DENIED_MS = 50;
/** Waiters that one look may send to nodes which the first of them would rather not take, or turn away early. */
const MAX_TAILS = 16;

interface Candidate {
  readonly place: Place<Standing>;
  readonly choice: Choice;
  readonly urgency: Urgency;
}

/**
 * Keeps the line moving. A slot that becomes free is given away in the same tick; what changes otherwise (the fleet, counts
 * of other control planes, time) is looked at once for all of it. Nothing happens while nobody waits.
 */
export class WaitingRoom {
  readonly line: Line<Standing>;
  readonly #deps: RouterDependencies;
  readonly #chooser: Chooser;
  readonly #claimed: ClaimedInflight;
  readonly #send: (dispatch: Dispatch) => RouteDecision;
  readonly #look: Alarm;
  readonly #soon: Alarm;
  readonly #claiming = new Set<Standing>();
  #isLooking = false;
  #lookedAt = Number.NEGATIVE_INFINITY;

  constructor(
    deps: RouterDependencies,
    chooser: Chooser,
    claimed: ClaimedInflight,
    send: (dispatch: Dispatch) => RouteDecision,
  ) {
    this.#deps = deps;
    this.#chooser = chooser;
    this.#claimed = claimed;
    this.#send = send;
    this.line = new Line(deps.line ?? (() => DEFAULT_LINE));
    this.#look = new Alarm(deps.clock, () => this.look());
    this.#soon = new Alarm(deps.clock, () => this.look());
    deps.ledger.onChange(() => this.#changed(0));
    deps.ledger.elsewhere.onChange(() => this.#changed(0));
    deps.fleet.onChange(() => this.#changed(FLEET_PAUSE_MS));
  }

  get isEmpty(): boolean {
    return this.line.size === 0;
  }

  report(): LineReport {
    return this.line.report(this.#deps.clock.now());
  }

  /** Whether a newcomer may take the slot that its choice begins on: nobody waits for that node who is due before it. */
  mayPass(asked: RouteRequest, choice: Choice): boolean {
    const { best } = choice;
    if (this.#isBlocked(best.id, undefined, choice.situation.now)) return false;
    const key = groupOf(asked);
    for (const group of this.line.groups) if (group.wants === best.id && group.key === key) return false;
    return true;
  }

  /** The request waits, or is refused at once. */
  join(arrival: Arrival, choice: Choice): Standing | undefined {
    const { clock, lineTelemetry } = this.#deps;
    const now = clock.now();
    const { maxWaitMs } = arrival.caller;
    if (this.line.isFull(arrival.heldBytes)) {
      arrival.placing.refused(lineFull(this.line.size, choice));
      return undefined;
    }
    if (cannotBegin(choice, maxWaitMs)) {
      arrival.placing.refused(noSlotInTime(choice, maxWaitMs, 0));
      return undefined;
    }
    const node = choice.situation.snapshot.byId.get(choice.best.id);
    const tokens = predictedTokens(choice.request, node);
    const standing = new Standing(arrival, { now, tokens, model: choice.request.model.key });
    const place = this.line.join(standing, groupOf(arrival.request));
    standing.place = place;
    place.group.reason = waitReason(choice);
    if (place.group.size === 1) place.group.wants = choice.best.id;
    standing.cancelDeadline = clock.after(maxWaitMs, () => this.#deadline(standing));
    lineTelemetry?.lineJoined(standing.caller.class);
    this.#lookAgain(choice.best.terms.slotWait);
    return standing;
  }

  /** The client is gone. */
  leave(standing: Standing): void {
    if (standing.state === 'over') return;
    const isClaiming = standing.state === 'claiming';
    this.#over(standing, 'gone');
    if (isClaiming) this.line.shares.leaves(standing.caller.id);
    else if (standing.place !== undefined) this.line.leave(standing.place);
    this.#rest();
  }

  /** A slot of the node became free. */
  freed(node: string): void {
    if (this.isEmpty) return;
    const models = this.#deps.fleet.snapshot().byId.get(node)?.models;
    this.look((group) => group.wants === node || models === undefined || models.has(group.model));
  }

  /** Gives away what is free now. `concerns`: the groups for whom something may have changed. */
  look(concerns: (group: Group<Standing>) => boolean = () => true): void {
    if (this.isEmpty) return;
    if (this.#isLooking) {
      this.#soon.at(this.#deps.clock.now());
      return;
    }
    this.#isLooking = true;
    try {
      const now = this.#deps.clock.now();
      this.#lookedAt = now;
      const groups = [...this.line.groups].filter(concerns);
      const open: Candidate[] = [];
      let soonest = Number.POSITIVE_INFINITY;
      for (const group of groups) {
        const candidate = this.#candidate(group, now);
        if (candidate === undefined) continue;
        if (mayBegin(candidate.place.waiter, candidate.choice)) open.push(candidate);
        else soonest = Math.min(soonest, candidate.choice.best.terms.slotWait);
      }
      this.#giveAway(open, now);
      for (const group of groups) this.#tails(group, now);
      if (!this.isEmpty) this.#lookAgain(soonest);
    } finally {
      this.#isLooking = false;
    }
    this.#rest();
  }

  /** The first of a group and where it would go now; whoever has no node left is refused on the way. */
  #candidate(group: Group<Standing>, now: number): Candidate | undefined {
    for (let place = this.line.head(group, now); place !== undefined; place = this.line.head(group, now)) {
      const choice = this.#choice(place.waiter, nobodyAhead);
      if (choice === undefined) continue;
      group.reason = waitReason(choice);
      group.wants = choice.best.id;
      return { place, choice, urgency: this.line.urgency(place, now) };
    }
    return undefined;
  }

  /** Undefined: refused. */
  #choice(standing: Standing, ahead: (model: string) => number): Choice | undefined {
    const leftMs = standing.until - this.#deps.clock.now();
    try {
      const { request, id } = standing;
      return this.#chooser.choose({ request, random: seededBy(id), ahead, leftMs });
    } catch (error) {
      if (!(error instanceof RouterError)) throw error;
      this.#refuse(standing, error);
      return undefined;
    }
  }

  /** In order; each start changes what the others find on that node. */
  #giveAway(open: Candidate[], now: number): void {
    while (open.length > 0) {
      const next = this.#next(open, now);
      if (next === undefined) return;
      const { group } = next.place;
      const node = next.choice.best.id;
      open.splice(open.indexOf(next), 1);
      this.#start(next.place, next.choice, now);
      const stale = open.filter(({ choice }) => choice.best.id === node).map(({ place }) => place.group);
      for (const again of group.size > 0 ? [group, ...stale] : stale) {
        const at = open.findIndex(({ place }) => place.group === again);
        if (at >= 0) open.splice(at, 1);
        const candidate = this.#candidate(again, now);
        if (candidate !== undefined && mayBegin(candidate.place.waiter, candidate.choice))
          open.push(candidate);
      }
    }
  }

  /** Whose turn it is among those that could begin; notes whom model affinity has passed over. */
  #next(open: readonly Candidate[], now: number): Candidate | undefined {
    let best: Candidate | undefined;
    let first: Candidate | undefined;
    for (const candidate of open) {
      if (this.#isBlocked(candidate.choice.best.id, candidate.place, now)) continue;
      if (first === undefined || isBefore(candidate.urgency, first.urgency)) first = candidate;
      if (best === undefined) best = candidate;
      else {
        const penalty = this.#penalty(candidate, now);
        if (isBefore(candidate.urgency, best.urgency, penalty, this.#penalty(best, now))) best = candidate;
      }
    }
    if (best !== undefined && first !== undefined && best !== first)
      first.place.group.passedOverSince ??= now;
    return best;
  }

  /** 1 where the model must be loaded first, unless others have gone first for that reason for long enough. */
  #penalty({ choice, place }: Candidate, now: number): 0 | 1 {
    if (choice.best.isWarm) return 0;
    const since = place.group.passedOverSince;
    return since !== undefined && now - since > this.#patience ? 0 : 1;
  }

  /**
   * Somebody who is due before `place` (undefined: a newcomer) has waited for long for this node to be free for its own model: while
   * others keep it busy, its turn would never come.
   */
  #isBlocked(node: string, place: Place<Standing> | undefined, now: number): boolean {
    for (const group of this.line.groups) {
      if (group.wants !== node || group === place?.group) continue;
      const head = this.line.head(group, now);
      if (head === undefined || now - head.waiter.since <= this.#patience) continue;
      if (place === undefined || isBefore(this.line.urgency(head, now), this.line.urgency(place, now)))
        return true;
    }
    return false;
  }

  get #patience(): number {
    return (this.#deps.line?.() ?? DEFAULT_LINE).ageingMs;
  }

  /**
   * The first of a group rather waits a little than take a bad node; the last, with all the others before it, may be better off
   * there, and then the others are too. Whoever cannot begin in time, however well it goes, is told now.
   */
  #tails(group: Group<Standing>, now: number): void {
    for (let left = MAX_TAILS; left > 0 && group.size > 1; left -= 1) {
      const place = this.line.tail(group, now);
      if (place === undefined) return;
      const choice = this.#choice(place.waiter, (model) => this.line.waitingFor(model) - 1);
      if (choice === undefined) continue;
      if (mayBegin(place.waiter, choice) && !this.#isBlocked(choice.best.id, place, now)) {
        this.#start(place, choice, now);
        continue;
      }
      const leftMs = place.waiter.until - now;
      if (!cannotBegin(choice, leftMs)) return;
      this.#refuse(
        place.waiter,
        noSlotInTime(choice, place.waiter.caller.maxWaitMs, now - place.waiter.since),
      );
    }
  }

  /** Out of the line and to its node, at once or as soon as the slot is known to be ours. */
  #start(place: Place<Standing>, choice: Choice, now: number): void {
    const standing = place.waiter;
    const { best } = choice;
    const model = leasedModel(choice.request);
    this.line.call(place);
    place.group.passedOverSince = undefined;
    const cap = slotsOf(choice, this.#claimed.current.onModel(best.id, model) + 1);
    const claim = this.#deps.claims?.claim({ id: standing.id, node: best.id, model }, cap);
    if (claim === undefined) {
      this.#dispatch(standing, choice, now);
      return;
    }
    standing.state = 'claiming';
    this.#claiming.add(standing);
    this.#claimed.add(best.id, model);
    void claim.then((isOurs) => this.#claimSettled(standing, choice, model, isOurs));
  }

  #claimSettled(standing: Standing, choice: Choice, model: string, isOurs: boolean): void {
    const { ledger, clock } = this.#deps;
    this.#claiming.delete(standing);
    this.#claimed.remove(choice.best.id, model);
    const now = clock.now();
    if (standing.state === 'over') {
      // The store must hear that the lease which it counts has ended: whoever tells it of the ledger's changes does.
      if (isOurs) {
        ledger.take(standing.id, choice.best.id, model, now);
        ledger.release(standing.id);
      }
      this.freed(choice.best.id);
    } else if (isOurs) {
      this.#dispatch(standing, choice, now);
    } else {
      standing.state = 'waiting';
      if (standing.place !== undefined) this.line.recall(standing.place);
      if (standing.until <= now) this.#deadline(standing);
      else this.#soon.at(now + DENIED_MS);
    }
  }

  #dispatch(standing: Standing, choice: Choice, now: number): void {
    this.#over(standing, 'dispatched');
    const waitedFor = standing.place?.group.reason;
    const waitedMs = now - standing.since;
    let decision: RouteDecision;
    try {
      const { id, request, caller } = standing;
      decision = this.#send({
        id,
        asked: request,
        caller,
        choice,
        waitedMs,
        waitedFor,
        tokens: standing.tokens,
      });
    } catch (error) {
      this.line.shares.leaves(standing.caller.id);
      if (!(error instanceof RouterError)) throw error;
      standing.placing.refused(error);
      return;
    }
    standing.placing.placed(decision);
  }

  #refuse(standing: Standing, error: RouterError): void {
    this.#over(standing, 'refused');
    if (standing.place !== undefined) this.line.leave(standing.place);
    standing.placing.refused(error);
  }

  /** Its time is up; a slot that is being claimed for it just now may still be its own. */
  #deadline(standing: Standing): void {
    if (standing.state !== 'waiting' || standing.place === undefined) return;
    const { caller } = standing;
    const waited = this.#deps.clock.now() - standing.since;
    const ahead = this.line.waitingFor(standing.model) - 1;
    const choice = this.#choice(standing, () => Math.max(0, ahead));
    if (choice === undefined) return;
    if (mayBegin(standing, choice) && !this.#isLooking) {
      this.look((group) => group === standing.place?.group);
      // The look may have started it, or somebody before it.
      if ((standing.state as Standing['state']) !== 'waiting') return;
    }
    this.#refuse(standing, noSlotInTime(choice, caller.maxWaitMs, waited));
    this.#rest();
  }

  #over(standing: Standing, outcome: LineOutcome): void {
    standing.state = 'over';
    standing.cancelDeadline();
    const seconds = (this.#deps.clock.now() - standing.since) / 1000;
    this.#deps.lineTelemetry?.lineLeft(standing.caller.class, seconds, outcome);
  }

  /** Something may have become free: one look for all that happens in this tick. */
  #changed(pauseMs: number): void {
    if (this.isEmpty || this.#isLooking) return;
    const now = this.#deps.clock.now();
    this.#soon.at(Math.max(now, this.#lookedAt + pauseMs));
  }

  #lookAgain(slotWaitSeconds: number): void {
    const inMs = Math.min(MAX_LOOK_MS, Math.max(MIN_LOOK_MS, slotWaitSeconds * 1000));
    this.#look.at(this.#deps.clock.now() + inMs);
  }

  #rest(): void {
    if (!this.isEmpty) return;
    this.#look.cancel();
    this.#soon.cancel();
  }
}
