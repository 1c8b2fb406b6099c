import { DecisionLog } from '../../../src/app/decision-log.ts';
import { Fleet } from '../../../src/app/fleet.ts';
import { OutcomeLog } from '../../../src/app/record-outcome.ts';
import { Router } from '../../../src/app/route-request.ts';
import type { AttemptReport, Outcome, Usage } from '../../../src/app/types.ts';
import { LeaseLedger } from '../../../src/fleet/ledger.ts';
import { DEFAULT_HEALTH } from '../../../src/fleet/params.ts';
import type { NodeId, NodeSpec, ResidentModel } from '../../../src/fleet/types.ts';
import { DEFAULT_ROUTING } from '../../../src/routing/params.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { MemoryLog } from '../../support/memory-log.ts';
import { RecordingTelemetry } from '../../support/recording-telemetry.ts';
import { onDisk, spec } from '../fleet/builders.ts';
import { MODEL, noChance } from '../routing/builders.ts';

const NO_USAGE: Usage = {
  promptTokens: undefined,
  completionTokens: undefined,
  totalMs: undefined,
  loadMs: undefined,
  promptEvalMs: undefined,
  evalMs: undefined,
  sawError: false,
};

/** The use cases on a fleet of ready nodes with addresses 10.0.0.1, .2, …; nothing real but the logic. */
export class Workbench {
  readonly clock: FakeClock;
  readonly log = new MemoryLog();
  readonly telemetry = new RecordingTelemetry();
  readonly ledger = new LeaseLedger();
  readonly decisions: DecisionLog;
  readonly fleet: Fleet;
  readonly router: Router;
  readonly recorder: OutcomeLog;
  /** Nodes whose tag list was asked for again. */
  readonly refreshed: NodeId[] = [];

  constructor({
    kept = 10,
    replica = 'me',
    clock,
  }: { kept?: number; replica?: string; clock?: FakeClock } = {}) {
    this.clock = clock ?? new FakeClock({ now: 1_000 });
    this.decisions = new DecisionLog(kept);
    this.fleet = new Fleet([], DEFAULT_HEALTH, this.clock);
    const { fleet, ledger, decisions, telemetry, log } = this;
    const parts = { fleet, ledger, decisions, telemetry, log };
    this.router = new Router({
      ...parts,
      clock: this.clock,
      random: noChance,
      params: () => DEFAULT_ROUTING,
      replica,
    });
    this.recorder = new OutcomeLog({
      ...parts,
      observe: (node, observation) => fleet.observe(node, observation),
      refreshTags: (node) => this.refreshed.push(node),
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
    this.recorder.requestEnded({
      decisionId,
      path: '/api/chat',
      method: 'POST',
      status: 200,
      details: 'via_upstream',
      flags: [],
      address: address(1),
      attempts: 1,
      firstByteMs: 120,
      totalMs: 900,
      requestBytes: 300,
      responseBytes: 2_000,
      end: 'complete',
      ...fields,
      usage: { ...NO_USAGE, ...usage },
    });
  }
}

export function address(index: number): string {
  return `10.0.0.${index}:11434`;
}
