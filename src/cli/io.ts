import type { Clock } from '../app/ports.ts';

export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean | undefined;
  /** Width of the terminal; undefined where it is none. */
  readonly columns?: number | undefined;
}

/** What commands see of the outside world. */
export interface Io {
  readonly out: Output;
  readonly err: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  readonly fetch: typeof fetch;
  /** Aborts when the user interrupts. */
  readonly signal: AbortSignal;
}
