import type { Random } from '../../app/ports.ts';
import type { FailureReason, ModelKey, NodeId } from '../../fleet/types.ts';
import type { BodyEdit } from '../../request/types.ts';
import type { Job, JobListener } from '../node/job.ts';
import { NodeAnswers } from '../node/node-answers.ts';
import { OllamaNode } from '../node/ollama-node.ts';
import type {
  Scenario,
  SimAttempt,
  SimDriver,
  SimHost,
  SimModelSpec,
  SimNodeSpec,
  SimOutcome,
  SimPoll,
  SimRequest,
  SimResult,
} from '../types.ts';
import { isStreamed, jobOrder } from './job-order.ts';
import { seededRandom } from './seeded-random.ts';
import { VirtualClock } from './virtual-clock.ts';
import { WasteMeter } from './waste-meter.ts';

/** Longer than this after the last arrival nobody is waited for. */
const MAX_TAIL_MS = 6 * 3_600_000;

export interface SimOptions {
  readonly scenario: Scenario;
  readonly seed: number;
  readonly driver: (host: SimHost) => SimDriver;
}

/** A request from its arrival to its end. */
interface Live {
  readonly request: SimRequest;
  readonly arrivedAt: number;
  node: NodeId | undefined;
  startedAt: number | undefined;
  firstTokenAt: number | undefined;
  attempts: number;
  loaded: boolean;
  /** It is on its way to the node. */
  cancelSending: (() => void) | undefined;
  job: Job | undefined;
  isRunning: boolean;
  cancelPatience: (() => void) | undefined;
}

/** One run of one policy over one scenario, in virtual time: the same seed gives the same result, byte by byte. */
export class Simulation implements SimHost {
  readonly clock = new VirtualClock();
  readonly random: Random;
  readonly scenario: Scenario;
  readonly #nodes = new Map<NodeId, { readonly node: OllamaNode; readonly answers: NodeAnswers }>();
  readonly #models: ReadonlyMap<ModelKey, SimModelSpec>;
  readonly #members = new Set<NodeId>();
  readonly #live = new Map<number, Live>();
  readonly #followers = new Map<number, SimRequest[]>();
  readonly #outcomes: SimOutcome[] = [];
  readonly #waste: WasteMeter;
  readonly #driver: SimDriver;
  readonly #hadModel = new Set<string>();
  #reloads = 0;
  #next = 0;
  readonly #arrivals: readonly SimRequest[];

  constructor({ scenario, seed, driver }: SimOptions) {
    this.scenario = scenario;
    this.random = seededRandom(seed, 'routing');
    this.#waste = new WasteMeter(this.clock);
    this.#models = new Map(scenario.models.map((model) => [model.key, model]));
    const epoch = this.clock.date().getTime();
    for (const spec of scenario.nodes) {
      const chance = seededRandom(seed, `node ${spec.id}`);
      const node = new OllamaNode(spec, this.clock, chance, {
        freeSlots: (model, change) => this.#waste.free(model, change),
        loaded: (model) => this.#loaded(`${spec.id} ${model}`),
      });
      this.#nodes.set(spec.id, { node, answers: new NodeAnswers(node, this.#models, epoch) });
      if (!joinsLater(scenario, spec.id)) this.#members.add(spec.id);
    }
    this.#arrivals = scenario.requests
      .filter(({ follows }) => follows === undefined)
      .sort((a, b) => a.arrivesAt - b.arrivesAt || a.id - b.id);
    for (const request of scenario.requests) {
      if (request.follows === undefined) continue;
      const list = this.#followers.get(request.follows.id);
      if (list === undefined) this.#followers.set(request.follows.id, [request]);
      else list.push(request);
    }
    this.#driver = driver(this);
  }

  run(): SimResult {
    const { scenario, clock } = this;
    for (const event of scenario.events) clock.after(event.at, () => this.#befall(event));
    this.#planArrival();
    const wanted = scenario.requests.length;
    const lastArrival = scenario.requests.reduce((last, { arrivesAt }) => Math.max(last, arrivesAt), 0);
    clock.run(() => this.#outcomes.length >= wanted, lastArrival + MAX_TAIL_MS);
    for (const id of [...this.#live.keys()]) this.#end(id, 'failed');
    let loads = 0;
    for (const { node } of this.#nodes.values()) loads += node.loads;
    return {
      policy: this.#driver.name,
      scenario: scenario.name,
      outcomes: this.#outcomes.sort((a, b) => a.id - b.id),
      loads,
      reloads: this.#reloads,
      wasteMs: this.#waste.wasteMs,
      decisions: this.#driver.decisions,
    };
  }

  members(): readonly SimNodeSpec[] {
    return this.scenario.nodes.filter(({ id }) => this.#members.has(id));
  }

  poll(node: NodeId): SimPoll | undefined {
    return this.#nodes.get(node)?.answers.answer();
  }

  /** The truth about a node, for policies that are allowed to know it. */
  truth(node: NodeId): OllamaNode | undefined {
    return this.#nodes.get(node)?.node;
  }

  dispatch(id: number, node: NodeId, edits: readonly BodyEdit[] = []): void {
    const live = this.#live.get(id);
    const target = this.#nodes.get(node);
    if (live === undefined || target === undefined)
      throw new Error(`dispatched to nowhere: request ${id}, node ${node}`);
    if (live.job !== undefined || live.cancelSending !== undefined)
      throw new Error(`request ${id} is at a node already`);
    live.node = node;
    live.attempts += 1;
    live.startedAt ??= this.clock.now();
    const order = jobOrder(live.request, edits, this.#models);
    live.cancelSending = this.clock.after(target.node.spec.rttMs, () => {
      live.cancelSending = undefined;
      const job = target.node.submit(
        order,
        this.#listener(live, node, (own) => (live.job = own)),
      );
      if (job.state !== 'over' && live.job === undefined) live.job = job;
    });
  }

  withdraw(id: number): void {
    const live = this.#live.get(id);
    if (live !== undefined) this.#takeBack(live);
  }

  refuse(id: number, end: 'refused' | 'failed'): void {
    this.#end(id, end);
  }

  #planArrival(): void {
    const request = this.#arrivals[this.#next];
    if (request === undefined) return;
    this.#next += 1;
    this.clock.after(request.arrivesAt - this.clock.now(), () => {
      this.#arrive(request);
      this.#planArrival();
    });
  }

  #arrive(request: SimRequest): void {
    const { id, patienceMs } = request;
    this.#live.set(id, {
      request,
      arrivedAt: this.clock.now(),
      node: undefined,
      startedAt: undefined,
      firstTokenAt: undefined,
      attempts: 0,
      loaded: false,
      cancelSending: undefined,
      job: undefined,
      isRunning: false,
      cancelPatience:
        patienceMs === undefined ? undefined : this.clock.after(patienceMs, () => this.#leave(id)),
    });
    this.#waste.waiting(request.request.model.key, 1);
    this.#driver.arrive(request);
  }

  #leave(id: number): void {
    const live = this.#live.get(id);
    if (live === undefined) return;
    this.#takeBack(live);
    this.#driver.left(id);
    this.#end(id, 'left');
  }

  #takeBack(live: Live): void {
    live.cancelSending?.();
    live.cancelSending = undefined;
    const { job, node } = live;
    live.job = undefined;
    this.#stopped(live);
    if (job === undefined || node === undefined) return;
    if (job.loaded) live.loaded = true;
    this.#nodes.get(node)?.node.leave(job);
  }

  #listener(live: Live, node: NodeId, own: (job: Job) => void): JobListener {
    const { id } = live.request;
    return {
      started: (job) => {
        own(job);
        if (live.isRunning) return;
        live.isRunning = true;
        this.#waste.waiting(live.request.request.model.key, -1);
      },
      firstToken: () => {
        if (!isStreamed(live.request.request)) return;
        live.firstTokenAt = this.clock.now();
        this.#driver.began(id, node);
      },
      served: (job) => {
        live.job = undefined;
        live.firstTokenAt ??= this.clock.now();
        if (job.loaded) live.loaded = true;
        this.#driver.ended(id, node, servedAttempt(job));
        this.#end(id, 'served');
      },
      failed: (job, reason, status) => {
        live.job = undefined;
        if (job.loaded) live.loaded = true;
        this.#stopped(live);
        const canRetry = live.firstTokenAt === undefined;
        this.#driver.ended(id, node, failedAttempt(job, reason, status, canRetry));
        if (!canRetry) this.#end(id, 'failed');
      },
    };
  }

  /** It waits again. */
  #stopped(live: Live): void {
    if (!live.isRunning) return;
    live.isRunning = false;
    this.#waste.waiting(live.request.request.model.key, 1);
  }

  #end(id: number, end: SimOutcome['end']): void {
    const live = this.#live.get(id);
    if (live === undefined) return;
    this.#live.delete(id);
    live.cancelPatience?.();
    this.#takeBack(live);
    this.#waste.waiting(live.request.request.model.key, -1);
    this.#outcomes.push({
      id,
      arrivedAt: live.arrivedAt,
      node: live.node,
      startedAt: live.startedAt,
      firstTokenAt: live.firstTokenAt,
      endedAt: this.clock.now(),
      end,
      attempts: live.attempts,
      loaded: live.loaded,
    });
    for (const follower of this.#followers.get(id) ?? []) {
      const thinkMs = follower.follows?.thinkMs ?? 0;
      const waitMs = Math.max(thinkMs, follower.arrivesAt - this.clock.now());
      this.clock.after(waitMs, () => this.#arrive(follower));
    }
  }

  #loaded(place: string): void {
    if (this.#hadModel.has(place)) this.#reloads += 1;
    this.#hadModel.add(place);
  }

  #befall(event: Scenario['events'][number]): void {
    const node = this.#nodes.get(event.node)?.node;
    if (node === undefined) return;
    switch (event.kind) {
      case 'fails':
        node.failShare = event.share;
        return;
      case 'down':
        node.goDown();
        return;
      case 'up':
        node.goUp();
        return;
      case 'leave':
        this.#members.delete(event.node);
        this.#driver.fleetChanged?.();
        node.goDown();
        return;
      case 'join':
        node.goUp();
        this.#members.add(event.node);
        this.#driver.fleetChanged?.();
    }
  }
}

function joinsLater({ events }: Scenario, node: NodeId): boolean {
  let first: Scenario['events'][number] | undefined;
  for (const event of events)
    if (
      event.node === node &&
      (event.kind === 'join' || event.kind === 'leave') &&
      (first === undefined || event.at < first.at)
    )
      first = event;
  return first?.kind === 'join';
}

function servedAttempt(job: Job): SimAttempt {
  const begun = job.startedAt ?? job.readyAt;
  const first = job.firstTokenAt ?? job.endedAt;
  return {
    end: 'served',
    canRetry: false,
    reason: undefined,
    status: 200,
    firstTokenAt: job.firstTokenAt,
    totalMs: job.endedAt - job.arrivedAt,
    loadMs: job.readyAt - job.arrivedAt,
    promptEvalMs: first - begun,
    evalMs: job.endedAt - first,
    promptTokens: job.promptTokens,
    answerTokens: job.order.answerTokens,
  };
}

function failedAttempt(job: Job, reason: FailureReason, status: number, canRetry: boolean): SimAttempt {
  return {
    end: 'failed',
    canRetry,
    reason,
    status,
    firstTokenAt: job.firstTokenAt,
    totalMs: job.endedAt - job.arrivedAt,
    loadMs: 0,
    promptEvalMs: 0,
    evalMs: 0,
    promptTokens: 0,
    answerTokens: 0,
  };
}
