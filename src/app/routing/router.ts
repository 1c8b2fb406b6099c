import { type ErrorCode, RouterError } from '../../request/errors.ts';
import type { RouteRequest } from '../../request/types.ts';
import type { Caller, LineReport } from '../../waiting/types.ts';
import type { UnplacedRequest } from '../request-watcher.ts';
import type { Outcome, PlacedRequest, Placing, RequestRouter, RouteDecision } from '../types.ts';
import { Charges } from './charges.ts';
import { type Choice, Chooser, nobodyAhead } from './chooser.ts';
import { ClaimedInflight } from './claims.ts';
import type { RouterDependencies } from './dependencies.ts';
import { type Dispatch, Dispatcher } from './dispatcher.ts';
import { RefusalsKept } from './refusals-kept.ts';
import { seededBy } from './seeded.ts';
import type { Standing } from './standing.ts';
import { predictedTokens } from './tokens.ts';
import { type Verdict, verdictOf } from './verdict.ts';
import { WaitingRoom } from './waiting-room.ts';

export type { RouterDependencies } from './dependencies.ts';

/** More than a person reads. */
const MAX_EXPLAINED = 1_000;

/**
 * Where requests go, and when. No I/O on a request's way: where others must hear of a lease, the ledger's listener tells
 * them later. What can begin now is dispatched before `place` returns; all else waits in the line.
 */
export class Router implements RequestRouter {
  readonly #deps: RouterDependencies;
  readonly #chooser: Chooser;
  readonly #dispatcher: Dispatcher;
  readonly #room: WaitingRoom;
  readonly #charges: Charges;
  readonly #refusals: RefusalsKept;
  #sequence = 0;

  constructor(dependencies: RouterDependencies) {
    this.#deps = dependencies;
    const claimed = new ClaimedInflight(dependencies.ledger);
    this.#chooser = new Chooser(dependencies, () => claimed.current);
    this.#dispatcher = new Dispatcher(dependencies);
    this.#room = new WaitingRoom(dependencies, this.#chooser, claimed, (dispatch) =>
      this.#dispatch(dispatch),
    );
    this.#charges = new Charges(this.#room.line.shares);
    this.#refusals = new RefusalsKept(dependencies, ({ id, request }, most) =>
      verdictOf(
        this.#chooser,
        { request, random: seededBy(id), ahead: nobodyAhead, leftMs: undefined },
        most,
      ),
    );
  }

  place(request: RouteRequest, caller: Caller, heldBytes: number, asker: Placing): PlacedRequest {
    this.#sequence += 1;
    const id = `${this.#deps.replica}-${this.#sequence.toString(36)}`;
    const { requestId } = asker;
    let stoodSince: number | undefined;
    const unplaced: Unplaced = (why) => {
      const waitedMs = stoodSince === undefined ? 0 : this.#deps.clock.now() - stoodSince;
      this.#unplaced({ id, requestId, request, caller, waitedMs }, why);
    };
    const placing: Placing = {
      requestId,
      placed: (decision) => asker.placed(decision),
      refused: (error) => {
        unplaced(error);
        asker.refused(error, id);
      },
    };
    try {
      const choice = this.#choose(id, request, caller);
      this.#deps.demand.note?.(choice.request.model.key, choice.situation.now);
      const isEmpty = this.#room.isEmpty;
      const { closing } = this.#deps;
      if (
        !waits(choice, caller) ||
        closing.letsAllGo(choice.situation.now) ||
        (choice.best.startsNow && (isEmpty || this.#room.mayPass(request, choice)))
      ) {
        const tokens = predictedTokens(choice.request, choice.situation.snapshot.byId.get(choice.best.id));
        const decision = this.#dispatch({
          id,
          requestId,
          asked: request,
          caller,
          choice,
          waitedMs: 0,
          waitedFor: undefined,
          tokens,
        });
        placing.placed(decision);
        return new Placed(id, this.#finish);
      }
      const standing = this.#room.join({ id, request, caller, heldBytes, placing }, choice);
      if (standing === undefined) return OVER;
      stoodSince = standing.since;
      // It stands behind others who could begin as well: their turn is now.
      if (choice.best.startsNow) this.#room.look();
      return new Placed(id, this.#finish, standing, this.#room, unplaced);
    } catch (error) {
      if (!(error instanceof RouterError)) throw error;
      placing.refused(error);
      return OVER;
    }
  }

  refused(code: ErrorCode): void {
    this.#deps.telemetry.refused(code);
  }

  /** What became of a request: its caller's share is put right. */
  ended({ decisionId, usage }: Outcome): void {
    if (decisionId !== undefined) this.#charges.settle(decisionId, usage);
  }

  /** What would be chosen now and why no other node, without a lease and without a trace. */
  preview(request: RouteRequest): Verdict {
    const { random } = this.#deps;
    const { line } = this.#room;
    const ahead = (model: string) => line.waitingFor(model, request.among);
    return verdictOf(this.#chooser, { request, random, ahead, leftMs: undefined }, MAX_EXPLAINED);
  }

  line(): LineReport {
    return this.#room.report();
  }

  /** Requests that wait. */
  get waiting(): number {
    return this.#room.line.size;
  }

  #choose(id: string, request: RouteRequest, caller: Caller): Choice {
    const { guard, rewriting, clock } = this.#deps;
    const now = clock.now();
    guard?.check(request.fingerprint, now);
    rewriting?.check(request, caller);
    const { line } = this.#room;
    return this.#chooser.choose({
      request,
      random: seededBy(id),
      ahead: this.#room.isEmpty ? nobodyAhead : (model) => line.ahead(model, caller, now, request.among),
      leftMs: caller.maxWaitMs > 0 ? caller.maxWaitMs : undefined,
    });
  }

  #dispatch(dispatch: Dispatch): RouteDecision {
    const decision = this.#dispatcher.dispatch(dispatch);
    this.#charges.charge(dispatch.id, dispatch.caller.id, dispatch.tokens, dispatch.waitedFor !== undefined);
    return decision;
  }

  /** No node ever gets the request. */
  #unplaced(request: Omit<UnplacedRequest, 'why'>, why: RouterError | 'client_gone'): void {
    if (why !== 'client_gone') this.#refusals.keep(request, why);
    const code = why === 'client_gone' ? why : why.code;
    for (const watcher of this.#deps.watchers ?? []) watcher.unplaced?.({ ...request, why: code });
  }

  readonly #finish = (decisionId: string): void => {
    const { ledger, decisions, clock } = this.#deps;
    const node = ledger.find(decisionId)?.node;
    ledger.release(decisionId);
    this.#charges.end(decisionId);
    const decision = decisions.find(decisionId);
    if (decision !== undefined) decision.finishedAt ??= clock.now();
    if (node !== undefined) this.#room.freed(node);
  };
}

/** Who is not kept: callers that do not wait, what needs no slot, and what only nodes of the last resort could take. */
function waits({ best }: Choice, caller: Caller): boolean {
  return caller.maxWaitMs > 0 && best.reason !== 'last_resort' && best.reason !== 'any';
}

type Unplaced = (why: RouterError | 'client_gone') => void;

class Placed implements PlacedRequest {
  readonly #id: string;
  readonly #end: (id: string) => void;
  readonly #standing: Standing | undefined;
  readonly #room: WaitingRoom | undefined;
  readonly #unplaced: Unplaced | undefined;

  constructor(
    id: string,
    end: (id: string) => void,
    standing?: Standing,
    room?: WaitingRoom,
    unplaced?: Unplaced,
  ) {
    this.#id = id;
    this.#end = end;
    this.#standing = standing;
    this.#room = room;
    this.#unplaced = unplaced;
  }

  get isWaiting(): boolean {
    return this.#standing !== undefined && this.#standing.state !== 'over';
  }

  finish(): void {
    if (this.isWaiting) this.#unplaced?.('client_gone');
    if (this.#standing !== undefined) this.#room?.leave(this.#standing);
    this.#end(this.#id);
  }
}

const OVER: PlacedRequest = { isWaiting: false, finish: () => {} };
