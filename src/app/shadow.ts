import type { NodeId, NodeView } from '../fleet/types.ts';
import type { RouteRequest } from '../request/types.ts';
import { rank } from '../routing/rank.ts';
import type { RivalPolicy, RivalSituation } from '../routing/rivals/types.ts';
import type { Situation } from '../routing/types.ts';
import type { Decision } from './decision-log.ts';
import type { Log } from './log.ts';
import { overriding } from './overriding.ts';
import type { Clock, Random } from './ports.ts';
import type { ChosenNode, RequestWatcher } from './request-watcher.ts';
import type { Outcome } from './types.ts';

/** So many decisions are looked at per second: the policy costs little, however many requests there are. */
const MAX_PER_SECOND = 10;
/** A model that more nodes have is not looked at: asking about each of them would hold requests up. */
const MAX_CANDIDATES = 500;
const MAX_OPEN = 1_000;
/** Share of a new answer time in a node's smoothed one. */
const SMOOTHING = 0.2;

export interface ShadowTelemetry {
  /** `seconds`: what its choice would cost more than ours, by our own prediction; undefined: no node for it by our rules. */
  shadowChose(policy: string, agrees: boolean, regretSeconds: number | undefined): void;
}

/** What a second policy would have done, so far. Means; undefined before there is one. */
export interface ShadowReport {
  readonly policy: string;
  /** It threw, and is no longer asked. */
  readonly isOff: boolean;
  readonly asked: number;
  readonly agreed: number;
  readonly meanRegretSeconds: number | undefined;
  /** Real seconds to the first token under our choice, where it would have chosen the same and where not. */
  readonly realSecondsAgreed: number | undefined;
  readonly realSecondsDiffered: number | undefined;
}

export interface ShadowOptions {
  readonly policy: RivalPolicy;
  readonly telemetry: ShadowTelemetry;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** Asks a second policy beside the first what it would choose. Nothing follows from its answers, and it cannot fail a request. */
export class Shadow implements RequestWatcher {
  readonly #options: ShadowOptions;
  readonly #responseMs = new Map<NodeId, number>();
  /** Whether it agreed, by decisions whose end is not known yet. */
  readonly #open = new Map<string, boolean>();
  readonly #regret = new Mean();
  readonly #agreedReal = new Mean();
  readonly #differedReal = new Mean();
  #isOff = false;
  #asked = 0;
  #agreed = 0;
  #askedAt = Number.NEGATIVE_INFINITY;

  constructor(options: ShadowOptions) {
    this.#options = options;
  }

  chosen(chosen: ChosenNode): void {
    const { clock, policy, log } = this.#options;
    const now = clock.now();
    if (this.#isOff || now - this.#askedAt < 1_000 / MAX_PER_SECOND) return;
    if (chosen.request.endpoint.operation === 'show') return;
    this.#askedAt = now;
    try {
      this.#compare(chosen);
    } catch (error) {
      this.#isOff = true;
      this.#open.clear();
      log.warn(
        { err: error, policy: policy.name },
        'the shadow policy failed and is switched off; requests are not touched',
      );
    }
  }

  ended(decision: Decision, node: NodeId | undefined, outcome: Outcome): void {
    if (this.#isOff) return;
    const agrees = this.#open.get(decision.id);
    this.#open.delete(decision.id);
    const { firstByteMs, totalMs, end } = outcome;
    if (node === undefined || end !== 'complete') return;
    const before = this.#responseMs.get(node) ?? totalMs;
    this.#responseMs.set(node, before + SMOOTHING * (totalMs - before));
    if (agrees === undefined || firstByteMs === undefined) return;
    (agrees ? this.#agreedReal : this.#differedReal).add(Math.max(0, firstByteMs - decision.waitedMs) / 1000);
  }

  report(): ShadowReport {
    return {
      policy: this.#options.policy.name,
      isOff: this.#isOff,
      asked: this.#asked,
      agreed: this.#agreed,
      meanRegretSeconds: this.#regret.value,
      realSecondsAgreed: this.#agreedReal.value,
      realSecondsDiffered: this.#differedReal.value,
    };
  }

  #compare({ id, request, ranking, situation }: ChosenNode): void {
    const { policy, telemetry, random } = this.#options;
    const ours = ranking.nodes[0];
    const fit = fitNodes(request, situation);
    if (ours === undefined || fit.length === 0) return;
    // Chance of its own: the decision's must not depend on whether somebody watches.
    const asked: RivalSituation = {
      ...situation,
      random,
      fit,
      queued: () => 0,
      responseMs: (node) => this.#responseMs.get(node),
    };
    const theirs = policy.choose(request, asked);
    const agrees = theirs === ours.id;
    const cost = agrees ? ours.seconds : costOn(theirs, request, asked);
    const regret = cost === undefined ? undefined : cost - ours.seconds;
    this.#asked += 1;
    if (agrees) this.#agreed += 1;
    if (regret !== undefined) this.#regret.add(regret);
    telemetry.shadowChose(policy.name, agrees, regret);
    this.#open.set(id, agrees);
    for (const oldest of this.#open.keys()) {
      if (this.#open.size <= MAX_OPEN) break;
      this.#open.delete(oldest);
    }
  }
}

/** Nodes that any policy may send the request to; empty where they are too many to ask about. */
function fitNodes({ model }: RouteRequest, { snapshot }: Situation): NodeView[] {
  const candidates = snapshot.byModel.candidates(model.key);
  if (candidates === undefined || candidates.knowing.length > MAX_CANDIDATES) return [];
  const { nodes, knowing } = candidates;
  // By place: the order of the lists is that of their changes.
  return [...knowing.toSorted()].flatMap((at) => {
    const node = nodes[at];
    const isFit = node?.address !== undefined && node.status !== 'down' && node.status !== 'draining';
    return isFit ? [node] : [];
  });
}

/** What the node would cost by our own prediction: it is ranked as if it were the only one; undefined: it must not take the request. */
function costOn(id: NodeId, request: RouteRequest, situation: Situation): number | undefined {
  const { byModel } = situation.snapshot;
  const { key } = request.model;
  const of = byModel.candidates(key);
  const at = of?.knowing.find((place) => of.nodes[place]?.id === id);
  if (of === undefined || at === undefined) return undefined;
  const only = {
    nodes: of.nodes,
    knowing: Uint32Array.of(at),
    warm: of.warm.filter((place) => place === at),
  };
  const models = overriding(byModel, {
    candidates: (asked: string) => (asked === key ? only : byModel.candidates(asked)),
  });
  const ranking = rank(request, { ...situation, snapshot: { ...situation.snapshot, byModel: models } });
  const [node] = ranking.nodes;
  return node === undefined || node.reason === 'last_resort' ? undefined : node.seconds;
}

class Mean {
  #sum = 0;
  #count = 0;

  add(value: number): void {
    this.#sum += value;
    this.#count += 1;
  }

  get value(): number | undefined {
    return this.#count === 0 ? undefined : this.#sum / this.#count;
  }
}
