import { DecisionLog } from '../../../src/app/decision-log.ts';
import { Fleet } from '../../../src/app/fleet.ts';
import { NO_USAGE } from '../../../src/app/no-usage.ts';
import { PromptNotes } from '../../../src/app/prompt-notes.ts';
import { OutcomeLog } from '../../../src/app/record-outcome.ts';
import { ClosingTime } from '../../../src/app/routing/closing-time.ts';
import { Router, type RouterDependencies } from '../../../src/app/routing/router.ts';
import type { AttemptReport, Outcome, PlacedRequest, RouteDecision, Usage } from '../../../src/app/types.ts';
import { ModelDemand } from '../../../src/fleet/demand.ts';
import { LeaseLedger } from '../../../src/fleet/ledger.ts';
import { DEFAULT_HEALTH } from '../../../src/fleet/params.ts';
import { NodePromptMemory } from '../../../src/fleet/prompt-memory.ts';
import type { NodeId, NodeSpec, ResidentModel } from '../../../src/fleet/types.ts';
import type { RouterError } from '../../../src/request/errors.ts';
import type { RouteRequest } from '../../../src/request/types.ts';
import { DEFAULT_ROUTING } from '../../../src/routing/params.ts';
import type { Caller } from '../../../src/waiting/types.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { MemoryLog } from '../../support/memory-log.ts';
import { RecordingTelemetry } from '../../support/recording-telemetry.ts';
import { onDisk, spec } from '../fleet/builders.ts';
import { MODEL, noChance } from '../routing/builders.ts';
import { address, anOutcome } from './outcomes.ts';

export { address };

const SOMEBODY: Caller = { id: '10.9.9.9', class: 'normal', maxWaitMs: 30_000, isPrivileged: false };

/** What became of a request that was placed. */
export interface Visit {
  decision: RouteDecision | undefined;
  refusal: RouterError | undefined;
  refusalId: string | undefined;
  placed: PlacedRequest | undefined;
}

/** The use cases on a fleet of ready nodes with addresses 10.0.0.1, .2, …; nothing real but the logic. */
export class Workbench {
  readonly clock: FakeClock;
  readonly log = new MemoryLog();
  readonly telemetry = new RecordingTelemetry();
  readonly ledger = new LeaseLedger();
  readonly decisions: DecisionLog;
  readonly fleet: Fleet;
  readonly prompts = new NodePromptMemory();
  readonly router: Router;
  readonly recorder: OutcomeLog;
  /** Nodes whose tag list was asked for again. */
  readonly refreshed: NodeId[] = [];
  readonly #placed = new Map<string, PlacedRequest>();

  constructor({
    kept = 10,
    replica = 'me',
    clock,
    routing = {},
  }: { kept?: number; replica?: string; clock?: FakeClock; routing?: Partial<RouterDependencies> } = {}) {
    this.clock = clock ?? new FakeClock({ now: 1_000 });
    this.decisions = new DecisionLog(kept);
    this.fleet = new Fleet([], DEFAULT_HEALTH, this.clock);
    const { fleet, ledger, decisions, telemetry, log } = this;
    const parts = { fleet, ledger, decisions, telemetry, log, clock: this.clock };
    this.router = new Router({
      ...parts,
      demand: new ModelDemand(),
      prompts: this.prompts,
      random: noChance,
      params: () => DEFAULT_ROUTING,
      replica,
      closing: new ClosingTime(),
      ...routing,
    });
    this.recorder = new OutcomeLog({
      ...parts,
      observe: (node, observation) => fleet.observe(node, observation),
      refreshTags: (node) => this.refreshed.push(node),
      promptNotes: new PromptNotes(this.prompts, fleet, this.clock),
    });
  }

  /** Ready nodes that all have the model on disk; `warm` of them also in memory. */
  withNodes(warm: Readonly<Record<NodeId, readonly ResidentModel[]>>, fields: Partial<NodeSpec> = {}): this {
    const ids = Object.keys(warm);
    this.fleet.replaceNodes(
      ids.map((id) => spec(id, fields)),
      DEFAULT_HEALTH,
    );
    for (const [index, id] of ids.entries()) {
      this.fleet.observe(id, { kind: 'address', address: address(index + 1), hosts: [] });
      this.fleet.observe(id, { kind: 'tags', models: [onDisk(MODEL)], rttMs: 1 });
      this.fleet.observe(id, { kind: 'resident', models: warm[id] ?? [], rttMs: 1 });
    }
    return this;
  }

  /** A request of somebody who does not wait: it is sent to the best node at once. Throws what it is refused with. */
  route(request: RouteRequest, caller: Partial<Caller> = {}): RouteDecision {
    const visit = this.place(request, { maxWaitMs: 0, ...caller });
    if (visit.refusal !== undefined) throw visit.refusal;
    if (visit.decision === undefined) throw new Error('it waits');
    return visit.decision;
  }

  finish(decisionId: string): void {
    this.#placed.get(decisionId)?.finish();
  }

  place(request: RouteRequest, caller: Partial<Caller> = {}, heldBytes = 0): Visit {
    const visit: Visit = {
      decision: undefined,
      refusal: undefined,
      refusalId: undefined,
      placed: undefined,
    };
    const whole = { ...SOMEBODY, ...caller };
    visit.placed = this.router.place(request, whole, heldBytes, {
      placed: (decision) => {
        visit.decision = decision;
      },
      refused: (error, id) => {
        visit.refusal = error;
        visit.refusalId = id;
      },
    });
    if (visit.decision !== undefined) this.#placed.set(visit.decision.id, visit.placed);
    return visit;
  }

  failed(decisionId: string, at: string, fields: Partial<AttemptReport> = {}): void {
    this.recorder.attemptFailed({
      decisionId,
      address: at,
      reason: 'refused',
      status: undefined,
      retryAfterMs: undefined,
      ...fields,
    });
  }

  /** A complete answer of 200 from the first node, unless told otherwise. */
  ended(
    decisionId: string | undefined,
    { usage = {}, ...fields }: Partial<Omit<Outcome, 'usage'>> & { usage?: Partial<Usage> } = {},
  ): void {
    this.recorder.requestEnded(anOutcome({ decisionId, ...fields, usage: { ...NO_USAGE, ...usage } }));
  }
}
