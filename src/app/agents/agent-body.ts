import type { Candidate } from '../registry/registry-types.ts';
import { Refusal } from './agent-refusal.ts';

const LABEL = /^[A-Za-z0-9._-]{1,64}$/;
const MAX_LABELS = 64;

/** A body that was signed, as its schema has it. Throws Refusal. */
export function parseBody<Output>(
  schema: {
    safeParse(value: unknown): {
      readonly data?: Output | undefined;
      readonly error?: { readonly issues: readonly { readonly path: readonly PropertyKey[] }[] } | undefined;
    };
  },
  body: Uint8Array,
): Output {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    throw new Refusal('invalid', 'the body is not JSON');
  }
  const { data, error } = schema.safeParse(json);
  if (data !== undefined) return data;
  // The places of the mistakes only: values are the sender's.
  const places = error?.issues.slice(0, 5).map(({ path }) => placeOf(path)) ?? [];
  throw new Refusal('invalid', `the body is not as expected at: ${places.join(', ')}`);
}

function placeOf(path: readonly PropertyKey[]): string {
  const place = path.map(String).join('.');
  return /^[\w.]{1,64}$/.test(place) ? place : '(top)';
}

/** Labels as a configuration may have them. Throws Refusal. */
export function labelsOf(labels: Readonly<Record<string, string>>): Candidate['labels'] {
  const entries = Object.entries(labels);
  const isFine = entries.every(
    ([key, value]) => LABEL.test(key) && /^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]*$/u.test(value),
  );
  if (isFine && entries.length <= MAX_LABELS) return labels;
  throw new Refusal(
    'invalid',
    `labels: at most ${MAX_LABELS}, keys of letters, digits, dots and dashes, no control characters`,
  );
}
