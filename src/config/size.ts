import * as z from 'zod';
import { shown } from './shown.ts';

const UNIT_BYTES: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1e3,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
};

/** A size in the configuration: "24GiB", "500MiB", "24GB"; bytes after parsing. */
export function size({ min, max, suffix = '' }: { min: string; max: string; suffix?: string }) {
  const minBytes = parseSize(min) ?? 0;
  const maxBytes = parseSize(max) ?? 0;
  return z.unknown().transform((value, context) => {
    const text = typeof value === 'string' ? value : '';
    const bytes = parseSize(suffix !== '' && text.endsWith(suffix) ? text.slice(0, -suffix.length) : text);
    if (bytes !== undefined && bytes >= minBytes && bytes <= maxBytes) return bytes;
    const message =
      bytes === undefined
        ? `expected a size such as "24GiB" or "500MiB", got ${shown(value)}`
        : `expected a size from ${min} to ${max}, got ${shown(value)}`;
    context.issues.push({ code: 'custom', message, input: value });
    return z.NEVER;
  });
}

/** Bytes, or undefined where the text is no size. */
export function parseSize(text: string): number | undefined {
  const match = /^(\d{1,12}(?:\.\d{1,3})?) ?([A-Za-z]{1,3})$/.exec(text);
  const unit = UNIT_BYTES[match?.[2] ?? ''];
  return unit === undefined ? undefined : Math.round(Number(match?.[1]) * unit);
}
