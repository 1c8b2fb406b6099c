import { createHash } from 'node:crypto';
import { LONGEST_ASKED_WAIT_MS } from '../../waiting/longest-wait.ts';
import { type Caller, REQUEST_CLASSES, type RequestClass } from '../../waiting/types.ts';
import type { RequestHead } from './request-head.ts';

/** A caller that is known by its key. */
export interface KnownClient {
  readonly name: string;
  readonly key: string;
  readonly class?: RequestClass | undefined;
  readonly isPrivileged: boolean;
}

export interface CallerPolicy {
  /** Where the client does not say; 0: nobody waits, whatever it says. */
  readonly maxWaitMs: number;
  readonly defaultClass: RequestClass;
  readonly classes: Readonly<Partial<Record<string, RequestClass>>>;
  /** Whether clients may say how urgent their request is and how long it may wait. */
  readonly trustHeaders: boolean;
  readonly clients: readonly KnownClient[];
}

/** Says who asks, from a request's head alone. */
export type Callers = (head: RequestHead) => Caller;

const MAX_KEY_CHARS = 4_096;
const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/**
 * Clients are known by their key, all others by their address. How urgent: the client's class, else what the request says
 * (`x-warmpath-class`), else that of the path, else the default. Keys are compared by their hashes: how long that takes says
 * nothing of them.
 */
export function createCallers(policy: CallerPolicy): Callers {
  const known = new Map(policy.clients.map((client) => [digest(client.key), client]));
  const { maxWaitMs, trustHeaders, classes, defaultClass } = policy;
  const longest = Math.max(maxWaitMs, LONGEST_ASKED_WAIT_MS);
  return (head) => {
    const client = known.size === 0 ? undefined : clientOf(head, known);
    const said = trustHeaders ? requestClass(head.requestClass) : undefined;
    const asked = trustHeaders && head.deadline !== '' ? deadlineMs(head.deadline) : undefined;
    return {
      id: client === undefined ? head.address : client.name,
      class: client?.class ?? said ?? classes[head.path] ?? defaultClass,
      hasOwnDeadline: asked !== undefined,
      maxWaitMs: maxWaitMs === 0 || asked === undefined ? maxWaitMs : Math.min(Math.max(1, asked), longest),
      isPrivileged: client?.isPrivileged ?? false,
    };
  };
}

/** `30` (seconds), `2.5`, `250ms`, `1m30s`: as Go writes durations. Undefined where it is none. */
export function deadlineMs(text: string): number | undefined {
  const trimmed = text.trim();
  if (trimmed.length > 32) return undefined;
  if (/^\d{1,9}(\.\d{1,6})?$/.test(trimmed)) return Number(trimmed) * 1_000;
  if (!/^(\d{1,9}(\.\d{1,6})?(ms|s|m|h))+$/.test(trimmed)) return undefined;
  let total = 0;
  for (const [, amount = '', unit = ''] of trimmed.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g))
    total += Number(amount) * (UNITS_MS[unit] ?? 0);
  return total;
}

function requestClass(text: string): RequestClass | undefined {
  if (text === '') return undefined;
  const word = text.trim().toLowerCase();
  return REQUEST_CLASSES.find((name) => name === word);
}

/** By its bearer token, or as Anthropic's clients send their key. */
function clientOf(
  { authorization, apiKey }: RequestHead,
  known: ReadonlyMap<string, KnownClient>,
): KnownClient | undefined {
  if (authorization.length > MAX_KEY_CHARS + 16 || apiKey.length > MAX_KEY_CHARS) return undefined;
  const key = /^bearer +(\S+)$/i.exec(authorization)?.[1] ?? apiKey;
  return key === '' ? undefined : known.get(digest(key));
}

function digest(key: string): string {
  return createHash('sha256').update(key).digest('base64');
}
