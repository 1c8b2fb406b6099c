import type { Random } from '../app/ports.ts';
import { draw, exponential } from './distributions.ts';
import { seededRandom } from './engine/seeded-random.ts';
import type { Scenario, SimRequest } from './types.ts';
import { type DraftRequest, RequestMaker } from './workload-requests.ts';
import type { Workload, WorkloadStream } from './workload-types.ts';

/** More than anybody waits for. */
export const MAX_REQUESTS = 2_000_000;
/** Rounds of stretching a workload until it has as many requests as wanted. */
const MAX_STRETCHES = 12;

/** More requests than can be simulated. */
export class WorkloadTooLargeError extends Error {}

/** The scenario of a workload. `requests`: so many instead of those of its own duration, which is stretched for them. */
export function buildScenario(workload: Workload, seed: number, requests?: number): Scenario {
  let durationMs = workload.durationMs;
  let drafts = draftRequests(workload, seed, durationMs);
  for (
    let round = 0;
    requests !== undefined && drafts.length < requests && round < MAX_STRETCHES;
    round += 1
  ) {
    durationMs *= Math.min(1_000, Math.max(1.2, (1.05 * requests) / Math.max(1, drafts.length)));
    drafts = draftRequests(workload, seed, durationMs);
  }
  return {
    name: workload.name,
    about: workload.about,
    nodes: workload.nodes,
    models: workload.models,
    events: workload.events,
    requests: numbered(drafts).slice(0, requests),
  };
}

function draftRequests(workload: Workload, seed: number, durationMs: number): DraftRequest[] {
  const drafts: DraftRequest[] = [];
  for (const [index, stream] of workload.streams.entries()) {
    const random = seededRandom(seed, `${index} ${stream.name}`);
    const maker = new RequestMaker(workload, stream, index, random);
    const until = Math.min(stream.untilMs ?? durationMs, durationMs);
    for (const at of arrivalTimes(stream, until, random)) {
      if (stream.arrivals.kind === 'sessions')
        drafts.push(...maker.session(at, draw(stream.arrivals.turns, random), stream.arrivals.think));
      else drafts.push(maker.single(at));
      if (drafts.length > MAX_REQUESTS)
        throw new WorkloadTooLargeError(
          `the workload makes more than ${MAX_REQUESTS} requests: shorten "duration" or lower the rates`,
        );
    }
  }
  return drafts;
}

function* arrivalTimes(stream: WorkloadStream, untilMs: number, random: Random): Iterable<number> {
  const { arrivals, fromMs = 0 } = stream;
  if (arrivals.kind === 'once') {
    for (let made = 0; made < arrivals.count; made += 1) yield fromMs + arrivals.atMs;
    return;
  }
  const gapMs = 1000 / arrivals.perSecond;
  const isBursty = arrivals.kind === 'bursts';
  // In bursts time stands still between them.
  let busyMs = exponential(gapMs, random);
  for (;;) {
    const pauses = isBursty ? Math.floor(busyMs / arrivals.onMs) * arrivals.offMs : 0;
    const at = fromMs + busyMs + pauses;
    if (!(at < untilMs)) return;
    yield at;
    busyMs += exponential(gapMs, random);
  }
}

/** In order of arrival; later turns stand after their session's first. */
function numbered(drafts: readonly DraftRequest[]): SimRequest[] {
  const order = drafts.map((draft, made) => ({ draft, made }));
  order.sort((a, b) => a.draft.arrivesAt - b.draft.arrivesAt || a.made - b.made);
  const ids = new Map(order.map(({ draft }, id) => [draft, id]));
  return order.map(({ draft }, id) => {
    const { before, thinkMs, ...request } = draft;
    const previous = before === undefined ? undefined : ids.get(before);
    const follows = previous === undefined ? undefined : { id: previous, thinkMs };
    return { ...request, id, follows, request: { ...request.request, fingerprint: `sim-${id}` } };
  });
}
