import { RouterError } from '../../request/errors.ts';
import type { RouteRequest } from '../../request/types.ts';
import type { Group } from '../../waiting/group.ts';
import { Line, type Place } from '../../waiting/line.ts';
import { DEFAULT_LINE } from '../../waiting/policy.ts';
import type { LineReport } from '../../waiting/types.ts';
import type { LineOutcome } from '../telemetry-port.ts';
import type { RouteDecision } from '../types.ts';
import { Alarm } from './alarm.ts';
import { Attention } from './attention.ts';
import { type Choice, type Chooser, nobodyAhead } from './chooser.ts';
import type { ClaimedInflight } from './claims.ts';
import type { ClosingTime } from './closing-time.ts';
import type { RouterDependencies } from './dependencies.ts';
import { type Dispatch, leasedModel } from './dispatcher.ts';
import { certainlyLate, noSlotInTime, notLetIn, shuttingDown } from './line-refusals.ts';
import { seededBy } from './seeded.ts';
import { slotsOf } from './slots.ts';
import { type Arrival, groupOf, mayBegin, Standing, untilOf } from './standing.ts';
import { predictedTokens } from './tokens.ts';
import { type Candidate, Turns } from './turns.ts';
import { waitReason } from './wait-reason.ts';

/** Estimates of when a slot becomes free are looked at again no more often than this, and no less often than that. */
const MIN_LOOK_MS = 250;
const MAX_LOOK_MS = 1_000;
/** Changes of the fleet come in bursts. */
const FLEET_PAUSE_MS = 20;
/** A slot that another control plane took is asked for again after this time, unless its counts come first. */
const DENIED_MS = 50;
/** Groups for whom a freed slot is looked at where their model would have to be loaded there. */
const MAX_COLD_LOOKS = 32;
/** Waiters that one look may send to nodes which the first of them would rather not take, or turn away early. */
const MAX_TAILS = 16;

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
  readonly #turns: Turns;
  readonly #attention: Attention;
  readonly #look: Alarm;
  readonly #soon: Alarm;
  readonly #closing: ClosingTime;
  readonly #close: Alarm;
  readonly #claiming = new Set<Standing>();
  #isLooking = false;
  /** Requests that were given a slot so far. */
  #started = 0;
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
    const policy = deps.line ?? (() => DEFAULT_LINE);
    this.line = new Line(policy);
    this.#attention = new Attention(this.line);
    this.#turns = new Turns(this.line, () => policy().ageingMs);
    this.#look = new Alarm(deps.clock, () => this.look());
    this.#soon = new Alarm(deps.clock, () => this.look());
    this.#closing = deps.closing;
    this.#close = new Alarm(deps.clock, () => this.#closed());
    this.#closing.onChange(() => this.#close.at(this.#closing.at));
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
    if (this.#turns.isBlocked(best.id, undefined, choice.situation.now)) return false;
    const key = groupOf(asked);
    for (const group of this.line.groups) if (group.wants === best.id && group.key === key) return false;
    this.#turns.notePassed(best.id, undefined, choice.situation.now);
    return true;
  }

  /** The request waits, or is refused at once. */
  join(arrival: Arrival, choice: Choice): Standing | undefined {
    const { clock, lineTelemetry } = this.#deps;
    const now = clock.now();
    const node = choice.situation.snapshot.byId.get(choice.best.id);
    const tokens = predictedTokens(choice.request, node);
    const standing = new Standing(arrival, { now, tokens, model: choice.request.model.key });
    const refusal = notLetIn(standing, choice, this.line, this.#closing.refusesAt, now);
    if (refusal !== undefined) {
      arrival.placing.refused(refusal);
      return undefined;
    }
    const place = this.line.join(standing, groupOf(arrival.request));
    standing.place = place;
    place.group.reason = waitReason(choice);
    if (place.group.size === 1) place.group.wants = choice.best.id;
    standing.until = untilOf(standing, choice, now);
    this.#awaitDeadline(standing, now);
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

  /** A slot of the node became free: for those who wait for this node, or else for any whose model it has. */
  freed(node: string): void {
    if (this.isEmpty) return;
    const view = this.#deps.fleet.snapshot().byId.get(node);
    const isFirst = (group: Group<Standing>): boolean =>
      group.wants === node || view === undefined || view.warm.has(group.model);
    if (this.look(isFirst) > 0) return;
    let left = MAX_COLD_LOOKS;
    this.look((group) => view?.models.has(group.model) === true && !isFirst(group) && left-- > 0);
  }

  /** Gives away what is free now; answers to how many. `concerns`: the groups for whom something may have changed. */
  look(concerns: (group: Group<Standing>) => boolean = () => true): number {
    if (this.isEmpty) return 0;
    const now = this.#deps.clock.now();
    if (this.#isLooking) {
      this.#soon.at(now);
      return 0;
    }
    this.#isLooking = true;
    const before = this.#started;
    try {
      this.#lookedAt = now;
      const groups = this.#attention.on([...this.line.groups].filter(concerns), now);
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
    return this.#started - before;
  }

  /** The first of a group and where it would go now; whoever has no node left is refused on the way. */
  #candidate(group: Group<Standing>, now: number): Candidate | undefined {
    for (let place = this.line.head(group, now); place !== undefined; place = this.line.head(group, now)) {
      const choice = this.#choice(place.waiter, nobodyAhead);
      if (choice === undefined) continue;
      group.reason = waitReason(choice);
      group.wants = choice.best.id;
      group.patienceMs = this.#turns.patienceMs(choice, place.waiter);
      return { place, choice, urgency: this.line.urgency(place, now) };
    }
    return undefined;
  }

  /** Undefined: refused. */
  #choice(standing: Standing, ahead: (model: string) => number): Choice | undefined {
    const { guard, clock } = this.#deps;
    const now = clock.now();
    const leftMs = standing.until - now;
    try {
      const { request, id } = standing;
      // What it was let in with may have killed nodes since.
      guard?.check(request.fingerprint, now);
      return this.#chooser.choose({ request, random: seededBy(id), ahead, leftMs });
    } catch (error) {
      // A defect costs the request that it meets, and nobody who waits beside it.
      if (!(error instanceof RouterError))
        this.#deps.log.error({ err: error, decision: standing.id }, 'a waiting request could not be ranked');
      this.#refuse(standing, error instanceof RouterError ? error : NOT_ROUTED);
      return undefined;
    }
  }

  /** In order; each start changes what the others find on that node. */
  #giveAway(open: Candidate[], now: number): void {
    while (open.length > 0) {
      const next = this.#turns.next(open, now);
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

  /**
   * The first of a group rather waits a little than take a bad node; the last, with all the others before it, may be better off
   * there, and then the others are too. Whoever cannot begin in time, however well it goes, is told now.
   */
  #tails(group: Group<Standing>, now: number): void {
    if (now < group.tailsAt) return;
    group.tailsAt = now + MIN_LOOK_MS;
    for (let left = MAX_TAILS; left > 0 && group.size > 1; left -= 1) {
      const place = this.line.tail(group, now);
      if (place === undefined) return;
      const choice = this.#choice(place.waiter, (model) => this.line.waitingFor(model, group.among) - 1);
      if (choice === undefined) continue;
      if (mayBegin(place.waiter, choice) && !this.#turns.isBlocked(choice.best.id, place, now)) {
        this.#start(place, choice, now);
        continue;
      }
      const refusal = certainlyLate(choice, place.waiter, this.#closing.refusesAt, now);
      if (refusal === undefined) return;
      this.#refuse(place.waiter, refusal);
    }
  }

  /** Out of the line and to its node, at once or as soon as the slot is known to be ours. */
  #start(place: Place<Standing>, choice: Choice, now: number): void {
    const standing = place.waiter;
    const { best } = choice;
    const model = leasedModel(choice.request);
    this.line.call(place);
    place.group.passedOverSince = undefined;
    this.#started += 1;
    this.#turns.notePassed(best.id, place.group, now);
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
      if (this.#closing.at <= now) this.#letGo(standing, now);
      else if (standing.until <= now) this.#deadline(standing);
      else this.#soon.at(now + DENIED_MS);
    }
  }

  #dispatch(standing: Standing, choice: Choice, now: number): void {
    this.#over(standing, 'dispatched');
    const waitedFor = standing.place?.group.reason;
    const waitedMs = now - standing.since;
    let decision: RouteDecision;
    try {
      const { id, request, caller, placing } = standing;
      decision = this.#send({
        id,
        requestId: placing.requestId,
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
    const now = this.#deps.clock.now();
    const ahead = this.line.waitingFor(standing.model, standing.among) - 1;
    const choice = this.#choice(standing, () => Math.max(0, ahead));
    if (choice === undefined) return;
    if (mayBegin(standing, choice) && !this.#isLooking) {
      this.look((group) => group === standing.place?.group);
      // The look may have started it, or somebody before it.
      if ((standing.state as Standing['state']) !== 'waiting') return;
    }
    const until = untilOf(standing, choice, now);
    if (choice.best.reason === 'loading' && until > now) {
      standing.until = until;
      this.#awaitDeadline(standing, now);
      return;
    }
    this.#refuse(standing, noSlotInTime(choice, caller.maxWaitMs, now - standing.since));
    this.#rest();
  }

  #awaitDeadline(standing: Standing, now: number): void {
    standing.cancelDeadline = this.#deps.clock.after(standing.until - now, () => this.#deadline(standing));
  }

  #closed(): void {
    const now = this.#deps.clock.now();
    const left = [...this.line.groups].flatMap((group) => [...group.places()]);
    for (const { waiter } of left) this.#letGo(waiter, now);
    this.#rest();
  }

  /** The line is closed: it goes to its best node, which lets it wait, or is told where that could not answer any more. */
  #letGo(standing: Standing, now: number): void {
    if (this.#closing.refuses) {
      this.#refuse(standing, shuttingDown(standing));
      return;
    }
    const choice = this.#choice(standing, nobodyAhead);
    if (choice === undefined || standing.place === undefined) return;
    this.line.call(standing.place);
    this.#dispatch(standing, choice, now);
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

const NOT_ROUTED = new RouterError('internal', 'the request could not be routed');
