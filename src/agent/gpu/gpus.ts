import type { Clock } from '../../app/ports.ts';
import { Latest } from '../latest.ts';
import { chooseGpus, type GpuChoice } from './choose.ts';
import type { GpuCollector, GpuReading, ReportedGpu, SeenGpu } from './reading.ts';

/** Live figures older than this are reported no more. */
const FRESH_MS = 15_000;
/** How long a GPU that its tool does not show any more stays in the reports, without live figures. */
const REMEMBERED_MS = 60_000;

export interface GpusOptions {
  /** Those of one vendor each. */
  readonly vendors: readonly GpuCollector[];
  /** Asked only where none of the others has found any. */
  readonly fallback: GpuCollector;
  readonly clock: Clock;
  /** How long one report waits for the tools. */
  readonly waitMs: number;
}

export interface SeenGpus {
  readonly gpus: readonly SeenGpu[];
  /** For people. */
  readonly problems: readonly string[];
}

/** All GPUs of this machine. A tool that hangs costs its own live figures only. */
export class Gpus {
  readonly #vendors: readonly Remembering[];
  readonly #fallback: Remembering;

  constructor({ vendors, fallback, ...options }: GpusOptions) {
    this.#vendors = vendors.map((collector) => new Remembering(collector, options));
    this.#fallback = new Remembering(fallback, options);
  }

  async see(choice: GpuChoice, signal: AbortSignal): Promise<SeenGpus> {
    const readings = await Promise.all(this.#vendors.map((vendor) => vendor.read(signal)));
    if (readings.every(({ gpus }) => gpus.length === 0)) readings.push(await this.#fallback.read(signal));
    const gpus = readings.flatMap((reading) => chooseGpus(reading.gpus, choice));
    const own = gpus.filter(({ isIntegrated }) => !isIntegrated);
    return {
      // Beside a card of its own, Ollama leaves the processor's graphics alone.
      gpus: numbered(own.length > 0 ? own : gpus).slice(0, 64),
      problems: readings.flatMap(({ problem }) => problem ?? []),
    };
  }
}

/** One collector that is waited for only so long, and whose GPUs do not vanish because its tool fails once. */
class Remembering {
  readonly #latest: Latest<GpuReading | undefined>;
  readonly #clock: Clock;
  #seen: { readonly gpus: readonly SeenGpu[]; readonly at: number } | undefined;

  constructor(collector: GpuCollector, { clock, waitMs }: { clock: Clock; waitMs: number }) {
    this.#latest = new Latest(collector.name, (signal) => collector.collect(signal), { clock, waitMs });
    this.#clock = clock;
  }

  async read(signal: AbortSignal): Promise<GpuReading> {
    const { value, ageMs, isWaiting } = await this.#latest.read(signal);
    if (isWaiting && ageMs > FRESH_MS) {
      return { gpus: this.#remembered(), problem: `${this.#latest.name} is slow to answer` };
    }
    if (value === undefined) return { gpus: [], problem: undefined };
    if (value.gpus.length > 0) {
      this.#seen = { gpus: value.gpus, at: this.#clock.now() - ageMs };
      return value;
    }
    return value.problem === undefined ? value : { gpus: this.#remembered(), problem: value.problem };
  }

  #remembered(): readonly SeenGpu[] {
    const seen = this.#seen;
    if (seen === undefined || this.#clock.now() - seen.at > REMEMBERED_MS) return [];
    return seen.gpus.map(withoutLiveFigures);
  }
}

function withoutLiveFigures(gpu: SeenGpu): SeenGpu {
  return {
    ...gpu,
    vramUsedBytes: undefined,
    utilization: undefined,
    temperatureC: undefined,
    powerW: undefined,
    isThrottled: undefined,
  };
}

/** Each its own number: tools of two vendors both begin at 0, and slices of one GPU share its. */
function numbered(gpus: readonly SeenGpu[]): SeenGpu[] {
  const isUnique = new Set(gpus.map(({ index }) => index)).size === gpus.length;
  return isUnique ? [...gpus] : gpus.map((gpu, index) => ({ ...gpu, index }));
}

/** Without what only this machine needs to know. */
export function reported({ uuid: _uuid, isIntegrated: _integrated, ...gpu }: SeenGpu): ReportedGpu {
  return gpu;
}
