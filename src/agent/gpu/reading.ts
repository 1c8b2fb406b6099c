import type { AgentReport } from '../../app/agents/agent-protocol.ts';

export type ReportedGpu = AgentReport['gpus'][number];

/** A GPU as a tool showed it. */
export interface SeenGpu extends ReportedGpu {
  /** As the vendor's tool writes it; CUDA_VISIBLE_DEVICES may name a GPU by it. */
  readonly uuid: string | undefined;
  /** It has no memory of its own, or little: it takes the host's. */
  readonly isIntegrated: boolean;
}

export interface GpuReading {
  readonly gpus: readonly SeenGpu[];
  /** For people: why there are none, or fewer than there should be. Undefined where nothing is wrong. */
  readonly problem: string | undefined;
}

/** Sees the GPUs of one vendor. Never rejects; answers `undefined` where this machine has nothing of the kind. */
export interface GpuCollector {
  readonly name: string;
  collect(signal: AbortSignal): Promise<GpuReading | undefined>;
}

/** A number that a tool wrote, or undefined for `[N/A]`, `[Not Supported]`, `ERR!` and whatever else it may say. */
export function toolNumber(text: unknown): number | undefined {
  if (typeof text === 'number') return Number.isFinite(text) ? text : undefined;
  if (typeof text !== 'string') return undefined;
  const match = /^\s*(-?\d{1,18}(?:\.\d{1,9})?)\s*(?:%|W|C|c|MiB|MB|B)?\s*$/.exec(text);
  return match === null ? undefined : Number(match[1]);
}

export function bytesOf(value: number | undefined, unit: number): number | undefined {
  if (value === undefined || value < 0) return undefined;
  const bytes = Math.round(value * unit);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** 0 to 1 from percent. */
export function shareOf(percent: number | undefined): number | undefined {
  return percent === undefined || percent < 0 || percent > 1_000 ? undefined : Math.min(1, percent / 100);
}

export function celsius(value: number | undefined): number | undefined {
  return value === undefined || value < -100 || value > 1_000 ? undefined : value;
}

export function watts(value: number | undefined): number | undefined {
  return value === undefined || value < 0 || value > 100_000 ? undefined : value;
}

/** A device's name without control characters, short enough for a report. */
export function deviceName(text: unknown, fallback: string): string {
  if (typeof text !== 'string') return fallback;
  // Everything that is not printable goes, also where a tool prints colours.
  const name = text.replace(/[\p{C}]+/gu, ' ').trim();
  return name === '' || /^\[?n\/?a\]?$/i.test(name) ? fallback : name.slice(0, 128);
}
