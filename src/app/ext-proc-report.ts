import type { Alarms } from './alarms.ts';
import type { ExtProcProblem, ProfileName } from './ext-proc-profile.ts';
import { remedyFor } from './ext-proc-remedies.ts';
import type { Clock } from './ports.ts';
import type { ExtProcTelemetry } from './telemetry-port.ts';

/** How a filter that calls us sends request bodies, in Envoy's words; `unknown`: it does not say. */
export const STREAM_MODES = [
  'none',
  'buffered',
  'buffered_partial',
  'streamed',
  'full_duplex_streamed',
  'unknown',
] as const;
export type StreamMode = (typeof STREAM_MODES)[number];

export interface ExtProcReportOptions {
  readonly profile: ProfileName;
  readonly clock: Clock;
  readonly alarms: Pick<Alarms, 'raise' | 'clear'>;
  readonly telemetry: ExtProcTelemetry;
}

export interface SeenProblem {
  readonly problem: ExtProcProblem;
  readonly count: number;
  /** Monotonic ms. */
  readonly lastAt: number;
  readonly remedy: string;
}

export interface ExtProcFigures {
  readonly profile: ProfileName;
  /** Streams so far of each mode that was seen. */
  readonly modes: readonly { readonly mode: StreamMode; readonly streams: number }[];
  /** The most frequent first. */
  readonly problems: readonly SeenProblem[];
}

interface Tally {
  count: number;
  lastAt: number;
}

/** A problem that was not met for so long is over. */
const OVER_MS = 300_000;
const CHECK_MS = 30_000;

/** How the proxies that call us over ext_proc are configured, and what is wrong with that: counted and shown. */
export class ExtProcReport {
  readonly #options: ExtProcReportOptions;
  readonly #modes = new Map<StreamMode, number>();
  readonly #problems = new Map<ExtProcProblem, Tally>();

  constructor(options: ExtProcReportOptions) {
    this.#options = options;
  }

  /** A stream has begun. */
  opened(mode: StreamMode): void {
    this.#modes.set(mode, (this.#modes.get(mode) ?? 0) + 1);
    this.#options.telemetry.extProcStream(this.#options.profile, mode);
  }

  /** A stream has met a problem. Cheap: it may be every stream's. */
  met(problem: ExtProcProblem): void {
    const { clock, telemetry } = this.#options;
    telemetry.extProcProblem(problem);
    const now = clock.now();
    const tally = this.#problems.get(problem) ?? {
      count: 0,
      lastAt: now,
    };
    const isNew = tally.count === 0 || now - tally.lastAt >= OVER_MS;
    tally.count += 1;
    tally.lastAt = now;
    this.#problems.set(problem, tally);
    if (isNew) this.#refreshAlarm();
  }

  figures(): ExtProcFigures {
    return {
      profile: this.#options.profile,
      modes: [...this.#modes].map(([mode, streams]) => ({ mode, streams })),
      problems: [...this.#problems]
        .map(([problem, { count, lastAt }]) => ({ problem, count, lastAt, remedy: remedyFor(problem) }))
        .sort((a, b) => b.count - a.count),
    };
  }

  /** Takes the alarm back once nothing is wrong any more. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#options.clock.sleep(CHECK_MS, signal);
      if (!signal.aborted) this.#refreshAlarm();
    }
  }

  #refreshAlarm(): void {
    const { clock, alarms } = this.#options;
    const now = clock.now();
    const present = [...this.#problems].filter(([, { lastAt }]) => now - lastAt < OVER_MS);
    if (present.length === 0) alarms.clear('ext_proc_misconfigured');
    else
      alarms.raise(
        'ext_proc_misconfigured',
        `a proxy calls over ext_proc in a way that does not fully work: ${present.map(([problem]) => problem).join(', ')}; ` +
          '"warmpath status" and the log say what to change there',
      );
  }
}
