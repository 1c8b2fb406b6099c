import type { NodeId } from '../../../fleet/types.ts';
import type { Job, JobListener, JobOrder } from '../../node/job.ts';
import { loadMs } from '../../node/speed.ts';
import type { Scenario, SimHost, SimModelSpec } from '../../types.ts';
import type { Future } from './future.ts';
import type { NodePlan } from './node-plan.ts';

/** So long before it is needed a model is loaded at most. */
const AHEAD_MS = 30_000;
/** What may go for it is needed so much later, as a share of the load. */
const MOST_LOSS = 0.3;

/** Models that will be asked for before long, soonest first. */
export function soonAsked({ models }: Scenario, future: Future, now: number): readonly SimModelSpec[] {
  return models
    .filter(({ key }) => future.nextAt(key, now) <= now + AHEAD_MS)
    .sort((a, b) => future.nextAt(a.key, now) - future.nextAt(b.key, now));
}

/** Loads each of the models of which no copy is free or on its way, where that costs others least; where it costs too much, not. */
export function prefetch(
  host: SimHost,
  future: Future,
  plans: ReadonlyMap<NodeId, NodePlan>,
  wanted: readonly SimModelSpec[],
  now: number,
): void {
  for (const model of wanted) {
    const states = [...plans.values()].map((plan) => plan.state(model.key));
    if (states.includes('free') || states.includes('loading')) continue;
    const order = loadOrder(model, future.context(model.key));
    let best: { readonly node: NodeId; readonly accept: () => void } | undefined;
    let least = Number.POSITIVE_INFINITY;
    for (const [id, plan] of plans) {
      const spec = host.truth(id)?.spec;
      if (spec === undefined || plan.state(model.key) !== 'cold') continue;
      const offer = plan.offer(order, order.numCtx ?? 0, true);
      if (offer === undefined || !offer.startsNow) continue;
      let lossMs = 0;
      for (const evicted of offer.evicts) lossMs += future.evictionMs(spec, evicted, now);
      if (lossMs > MOST_LOSS * loadMs(spec, model)) continue;
      const cost = lossMs + offer.endsAt - now;
      if (cost >= least) continue;
      least = cost;
      best = { node: id, accept: offer.accept };
    }
    if (best === undefined) continue;
    best.accept();
    host.truth(best.node)?.submit(order, DEAF);
  }
}

/** An empty request loads the model. The tokens serve to compare nodes' speeds. */
function loadOrder(model: SimModelSpec, context: number): JobOrder {
  return {
    model,
    numCtx: context > 0 ? Math.max(context, model.defaultContext) : undefined,
    keepAliveMs: undefined,
    promptTokens: 300,
    answerTokens: 200,
    session: undefined,
    sharedTokens: 0,
    prefix: undefined,
    isEmpty: true,
  };
}

const ignore = (_job: Job): void => {};
const DEAF: JobListener = { started: ignore, firstToken: ignore, served: ignore, failed: ignore };
