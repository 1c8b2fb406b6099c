import type { SimulatedFleet } from '../../sim/fleet.ts';
import { quantile } from '../../support/figures.ts';
import type { Replicas } from '../../support/replicas.ts';
import { pause } from '../../support/wait-for.ts';
import { GENERATE, MODEL } from '../faults/arena.ts';
import { failures, generateBody, Load, type Sample } from '../faults/load.ts';
import { type InflightSample, InflightWatch, worst } from './inflight-watch.ts';

const MIB = 2 ** 20;

/** What was seen while something was done to the store. */
export interface Phase {
  readonly name: string;
  readonly samples: readonly Sample[];
  readonly seen: readonly InflightSample[];
  /** Lines that all replicas logged. */
  readonly logged: readonly string[];
  /** Of the replica that has most, MiB. */
  readonly heapMiB: number;
  readonly rssMiB: number;
}

interface Span {
  readonly name: string;
  readonly from: number;
  readonly to: number;
  readonly logged: readonly string[];
  readonly heapMiB: number;
  readonly rssMiB: number;
}

/** A steady load through every Envoy, told apart by what is done meanwhile. */
export class PhasedLoad {
  readonly watch: InflightWatch;
  readonly #set: Replicas;
  readonly #loads: readonly Load[];
  readonly #spans: Span[] = [];

  constructor(set: Replicas, fleet: SimulatedFleet, { perSecond = 20, tokens = 40 } = {}) {
    this.#set = set;
    const body = generateBody(MODEL, 1_024, { tokens });
    this.#loads = set.envoys.map(({ url }) => new Load(url, { perSecond, path: GENERATE, body: () => body }));
    this.watch = new InflightWatch(set, fleet);
  }

  /** Measures for so long at least, and for as long as `meanwhile` takes. */
  async phase(name: string, ms: number, meanwhile: () => Promise<unknown> = async () => {}): Promise<void> {
    const from = performance.now();
    const outputs = this.#set.replicas.map(({ process }) => process.output.length);
    await Promise.all([meanwhile(), pause(ms)]);
    const most = async (metric: string): Promise<number> =>
      Math.max(...(await Promise.all(this.#set.replicas.map((each) => each.metric(metric))))) / MIB;
    this.#spans.push({
      name,
      from,
      to: performance.now(),
      logged: this.#set.replicas.flatMap(({ process }, i) =>
        process.output.slice(outputs[i]).split('\n').filter(Boolean),
      ),
      heapMiB: await most('nodejs_heap_size_used_bytes'),
      rssMiB: await most('process_resident_memory_bytes'),
    });
  }

  /** All phases, those of one name put together. */
  async stop(): Promise<ReadonlyMap<string, Phase>> {
    const samples = (await Promise.all(this.#loads.map((load) => load.stop()))).flat();
    const seen = await this.watch.stop();
    const phases = new Map<string, Phase>();
    for (const { name, from, to, logged, heapMiB, rssMiB } of this.#spans) {
      const before = phases.get(name);
      phases.set(name, {
        name,
        samples: [
          ...(before?.samples ?? []),
          ...samples.filter(({ sentAt }) => sentAt >= from && sentAt < to),
        ],
        seen: [...(before?.seen ?? []), ...seen.filter(({ at }) => at >= from && at < to)],
        logged: [...(before?.logged ?? []), ...logged],
        heapMiB: Math.max(before?.heapMiB ?? 0, heapMiB),
        rssMiB: Math.max(before?.rssMiB ?? 0, rssMiB),
      });
    }
    return phases;
  }
}

export function firstBytes({ samples }: Phase): readonly number[] {
  return samples.map(({ answer }) => answer?.firstByteMs ?? Number.POSITIVE_INFINITY);
}

/** For a line of figures, beside what is usual in the same run. */
export function compared(phase: Phase, usual: Phase): Record<string, number> {
  const [p50, p99] = [quantile(firstBytes(phase), 0.5), quantile(firstBytes(phase), 0.99)];
  return {
    requests: phase.samples.length,
    failed: failures(phase.samples).length,
    unrouted: phase.samples.filter(({ routed }) => !routed).length,
    firstByteP50Ms: p50,
    firstByteP99Ms: p99,
    p50AddedMs: p50 - quantile(firstBytes(usual), 0.5),
    p99AddedMs: p99 - quantile(firstBytes(usual), 0.99),
    heapMiB: phase.heapMiB,
    rssMiB: phase.rssMiB,
    rssOfUsual: phase.rssMiB / usual.rssMiB,
    linesLogged: phase.logged.length,
    ...worst(phase.seen),
  };
}
