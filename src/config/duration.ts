import * as z from 'zod';
import { shown } from './shown.ts';

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** A duration in the configuration: "250ms", "2s", "1m", "5m", "1h"; milliseconds after parsing. */
export function duration({ min, max }: { min: string; max: string }) {
  const minMs = parseDuration(min) ?? 0;
  const maxMs = parseDuration(max) ?? 0;
  return z.unknown().transform((value, context) => {
    const ms = typeof value === 'string' ? parseDuration(value) : undefined;
    if (ms !== undefined && ms >= minMs && ms <= maxMs) return ms;
    const message =
      ms === undefined
        ? `expected a duration such as "250ms" or "2s", got ${shown(value)}`
        : `expected a duration from ${min} to ${max}, got ${shown(value)}`;
    context.issues.push({ code: 'custom', message, input: value });
    return z.NEVER;
  });
}

/** Milliseconds, or undefined where the text is no duration. */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h)$/.exec(text);
  if (match === null) return undefined;
  return Math.round(Number(match[1]) * (UNIT_MS[match[2] ?? ''] ?? 0));
}
