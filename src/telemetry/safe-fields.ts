import { escapeControl, escapeControlInLines } from './escape-control.ts';

const MAX_DEPTH = 6;
const MAX_TEXT = 4096;
const CENSORED = '[redacted]';

/** Fields that hold secrets or clients' words, at any depth. */
const SECRET_KEYS = new Set([
  'authorization',
  'proxy-authorization',
  'cookie',
  'set-cookie',
  'x-api-key',
  'api-key',
  'apikey',
  'api_key',
  'token',
  'password',
  'secret',
  'prompt',
  'messages',
  'body',
  'bones',
]);
const CREDENTIALS = /\b(Bearer|Basic)\s+[\w\-.~+/=]+/gi;
const USER_INFO = /(\w:\/\/)[^\s/@]+@/g;

/** Text fit for a log: no credentials, no control characters, a bounded length. */
export function safeText(text: string, { keepsLines = false } = {}): string {
  const short = text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}… (${text.length} characters)` : text;
  const clean = short.replace(CREDENTIALS, `$1 ${CENSORED}`).replace(USER_INFO, `$1${CENSORED}@`);
  return keepsLines ? escapeControlInLines(clean) : escapeControl(clean);
}

/** A copy of a log call's fields that may be written: strings made safe, secrets by name left out. Never throws. */
export function safeFields(fields: object): Record<string, unknown> {
  return safeEntries(fields, 0, new Set());
}

function safeEntries(value: object, depth: number, above: Set<object>): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  above.add(value);
  for (const [key, entry] of Object.entries(value)) {
    const name = escapeControl(key);
    out[name] = SECRET_KEYS.has(key.toLowerCase()) ? CENSORED : safeValue(entry, depth + 1, above);
  }
  above.delete(value);
  return out;
}

function safeValue(value: unknown, depth: number, above: Set<object>): unknown {
  if (typeof value === 'string') return safeText(value);
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value === null) return value;
  if (above.has(value)) return '[circular]';
  if (value instanceof Error) return safeError(value, depth, above);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (depth >= MAX_DEPTH) return '[…]';
  if (value instanceof Map) return safeEntries(Object.fromEntries(value), depth, above);
  if (!Array.isArray(value) && !(value instanceof Set)) return safeEntries(value, depth, above);
  above.add(value);
  const items = Array.from(value, (item) => safeValue(item, depth + 1, above));
  above.delete(value);
  return items;
}

/** Type, message and stack; the causes behind it one by one. */
function safeError(error: Error, depth: number, above: Set<object>): Record<string, unknown> {
  const out: Record<string, unknown> = { type: error.name, message: safeText(error.message) };
  if ('code' in error) out.code = safeValue(error.code, MAX_DEPTH, above);
  if (error.stack !== undefined) out.stack = safeText(error.stack, { keepsLines: true });
  if (error.cause === undefined || depth >= MAX_DEPTH) return out;
  above.add(error);
  out.cause = safeValue(error.cause, depth + 1, above);
  above.delete(error);
  return out;
}
