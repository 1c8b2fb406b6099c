import { createHash } from 'node:crypto';
import { isIP } from 'node:net';
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
  /** Where requests come through somebody else's gateway: what it says is heeded too. Undefined: the Envoy that we configure. */
  readonly gateway?: GatewayWords | undefined;
}

export interface GatewayWords {
  /** How urgent each objective is, by its name. Others are as urgent as their name says, if it is that of a class. */
  readonly objectives: ReadonlyMap<string, RequestClass>;
}

/** Says who asks, from a request's head alone. */
export type Callers = (head: RequestHead) => Caller;

const MAX_KEY_CHARS = 4_096;
/** As long as Kubernetes allows names to be. */
const MAX_OBJECTIVE_CHARS = 253;
const MAX_FAIRNESS_CHARS = 64;
const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/**
 * Clients are known by their key, all others by the fairness id that a gateway tells, else by their address. How urgent: the
 * client's class, else what the request says (`x-warmpath-class`, else its objective), else that of the path, else the default. Keys are compared by their hashes: how long that takes says
 * nothing of them.
 */
export function createCallers(policy: CallerPolicy): Callers {
  const known = new Map(policy.clients.map((client) => [digest(client.key), client]));
  const { maxWaitMs, trustHeaders, classes, defaultClass } = policy;
  const gateway = trustHeaders ? policy.gateway : undefined;
  const longest = Math.max(maxWaitMs, LONGEST_ASKED_WAIT_MS);
  return (head) => {
    const client = known.size === 0 ? undefined : clientOf(head, known);
    const said = trustHeaders ? requestClass(head.requestClass) : undefined;
    const told = trustHeaders && head.deadline !== '' ? deadlineMs(head.deadline) : undefined;
    const asked = told ?? (gateway === undefined ? undefined : firstTokenMs(head.firstTokenMs));
    const objective = gateway === undefined ? undefined : objectiveClass(head.objective, gateway);
    const tenant =
      gateway === undefined || client !== undefined ? undefined : fairnessCaller(head.fairnessId);
    return {
      id: client?.name ?? tenant ?? addressOf(head, policy.gateway !== undefined),
      class: client?.class ?? said ?? objective ?? classes[head.path] ?? defaultClass,
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

/** Own Envoys always tell it; others may only forward. */
function addressOf({ address, forwardedFor }: RequestHead, isForeign: boolean): string {
  if (address !== '' || !isForeign) return address;
  const nearest = forwardedFor.slice(forwardedFor.lastIndexOf(',') + 1).trim();
  return isIP(nearest) === 0 ? '' : nearest;
}

function objectiveClass(text: string, { objectives }: GatewayWords): RequestClass | undefined {
  const name = text.trim();
  if (name === '' || name.length > MAX_OBJECTIVE_CHARS) return undefined;
  return objectives.get(name) ?? requestClass(name);
}

/** A whole number of milliseconds, or one with a fraction. Zero is no deadline. */
function firstTokenMs(text: string): number | undefined {
  const trimmed = text.trim();
  if (!/^\d{1,12}(\.\d{1,6})?$/.test(trimmed)) return undefined;
  const ms = Number(trimmed);
  return ms > 0 ? ms : undefined;
}

/** Its name is never that of a client with a key. Long ids are told apart by their hash. */
function fairnessCaller(text: string): string | undefined {
  const id = text.replace(/[^\x21-\x7e]+/g, ' ').trim();
  if (id === '') return undefined;
  if (id.length <= MAX_FAIRNESS_CHARS) return `fairness:${id}`;
  return `fairness:${id.slice(0, MAX_FAIRNESS_CHARS - 16)}~${digest(id).slice(0, 15)}`;
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
