import type { Alarms } from './alarms.ts';
import {
  CONNECTION_PROBLEMS,
  type ConnectionProblem,
  type ExtProcProblem,
  type ProfileName,
} from './ext-proc-profile.ts';
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
  /** Who was the last that met it; undefined where that is not known, or a Unix socket. */
  readonly from?: string | undefined;
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
  from: string | undefined;
  /** How often it was met without being over meanwhile, what comes together counted once; and when the last of these was. */
  tries: number;
  triedAt: number;
}

/** A problem that was not met for so long is over. */
const OVER_MS = 300_000;
/** Proxies keep trying to connect, whoever scans ports comes once, with many connections: before so many tries there is no alarm. */
const TRIES = 3;
const TRY_MS = 60_000;
/** So long a connection that came to nothing is shown: it may have been a stranger's. */
const STRAY_MS = 900_000;
const OF_CONNECTIONS: ReadonlySet<ExtProcProblem> = new Set(CONNECTION_PROBLEMS);
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
    if (this.#count(problem, undefined)) this.#refreshAlarm();
  }

  /** A connection came to nothing. The alarm waits for `run`, which knows whether somebody keeps trying. */
  refused(problem: ConnectionProblem, from: string | undefined): void {
    this.#count(problem, from);
  }

  figures(): ExtProcFigures {
    const now = this.#options.clock.now();
    return {
      profile: this.#options.profile,
      modes: [...this.#modes].map(([mode, streams]) => ({ mode, streams })),
      problems: [...this.#problems]
        .filter(([problem, { lastAt }]) => !OF_CONNECTIONS.has(problem) || now - lastAt < STRAY_MS)
        .map(([problem, { count, lastAt, from }]) => ({
          problem,
          count,
          lastAt,
          from,
          remedy: remedyFor(problem),
        }))
        .sort((a, b) => b.count - a.count),
    };
  }

  /** Raises the alarm where somebody keeps trying to connect, and takes it back once nothing is wrong any more. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#options.clock.sleep(CHECK_MS, signal);
      if (!signal.aborted) this.#refreshAlarm();
    }
  }

  /** Whether it is new, or was over. */
  #count(problem: ExtProcProblem, from: string | undefined): boolean {
    const { clock, telemetry } = this.#options;
    telemetry.extProcProblem(problem);
    const now = clock.now();
    const known = this.#problems.get(problem);
    const tally = known ?? { count: 0, lastAt: now, from, tries: 0, triedAt: now };
    const isNew = tally.count === 0 || now - tally.lastAt >= OVER_MS;
    if (isNew || now - tally.triedAt >= TRY_MS) {
      tally.tries = isNew ? 1 : tally.tries + 1;
      tally.triedAt = now;
    }
    tally.count += 1;
    tally.lastAt = now;
    tally.from = from;
    if (known === undefined) this.#problems.set(problem, tally);
    return isNew;
  }

  #refreshAlarm(): void {
    const { clock, alarms } = this.#options;
    const now = clock.now();
    const present = [...this.#problems].filter(([problem, tally]) => isPresent(problem, tally, now));
    if (present.length === 0) alarms.clear('ext_proc_misconfigured');
    else
      alarms.raise(
        'ext_proc_misconfigured',
        `a proxy calls over ext_proc in a way that does not fully work: ${present.map(([problem]) => problem).join(', ')}; ` +
          '"warmpath status" and the log say what to change there',
      );
  }
}

function isPresent(problem: ExtProcProblem, { lastAt, tries }: Tally, now: number): boolean {
  return now - lastAt < OVER_MS && (tries >= TRIES || !OF_CONNECTIONS.has(problem));
}
