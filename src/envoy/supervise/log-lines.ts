import type { Clock } from '../../app/ports.ts';

export type EnvoyLogLevel = 'warn' | 'error';

/** One line of Envoy's own log. */
export interface EnvoyLogLine {
  readonly level: EnvoyLogLevel;
  /** Envoy's component, e.g. `upstream`. */
  readonly component: string;
  readonly message: string;
}

/** For Envoy's `--log-format`: what `parseLogLine` reads. */
export const LOG_FORMAT = '%l\t%n\t%v';

/** Said at every stop, or again and again while the control plane is away, which others report. */
const EXPECTED = /^caught ENVOY_SIGTERM|config stream to \S+ closed|initial fetch timed out/;

/** A line in `LOG_FORMAT`; undefined for what is expected, for levels below warning and for the further lines of a message. */
export function parseLogLine(line: string): EnvoyLogLine | undefined {
  const [level, component, ...rest] = line.split('\t');
  if (component === undefined || rest.length === 0) return undefined;
  const message = rest.join('\t');
  if (EXPECTED.test(message)) return undefined;
  switch (level) {
    case 'warning':
      return { level: 'warn', component, message };
    case 'error':
    case 'critical':
      return { level: 'error', component, message };
    default:
      return undefined;
  }
}

/** Lines let through per window: a broken peer makes Envoy log once per request. */
const LINES = 20;
const WINDOW_MS = 10_000;

/** Passes the first lines of each window on, and then says how many it left out. */
export class LogThrottle {
  readonly #clock: Clock;
  readonly #emit: (line: EnvoyLogLine) => void;
  #windowStart = Number.NEGATIVE_INFINITY;
  #seen = 0;

  constructor(clock: Clock, emit: (line: EnvoyLogLine) => void) {
    this.#clock = clock;
    this.#emit = emit;
  }

  add(line: EnvoyLogLine): void {
    const now = this.#clock.now();
    if (now - this.#windowStart >= WINDOW_MS) {
      this.#reportLeftOut();
      this.#windowStart = now;
      this.#seen = 0;
    }
    this.#seen++;
    if (this.#seen <= LINES) this.#emit(line);
  }

  #reportLeftOut(): void {
    const leftOut = this.#seen - LINES;
    if (leftOut > 0)
      this.#emit({
        level: 'warn',
        component: 'supervisor',
        message: `${leftOut} more lines of Envoy left out`,
      });
  }
}
