import { z } from 'zod';
import { factsOf, type NodeFacts, withFacts } from '../../fleet/restore.ts';
import type { NodeId, NodeRecord } from '../../fleet/types.ts';
import type { Store } from '../../store/contract.ts';
import type { Fleet } from '../fleet.ts';
import { formatOrigin } from '../host-port.ts';
import type { Clock } from '../ports.ts';
import { address, failureReason, maybe, modelsOnDisk, ms, residentModels, version } from './shared-schema.ts';

const SAVE_EVERY_MS = 1_000;
/** Unchanged facts are written again after this long, so that they do not expire. */
const RENEW_MS = 60_000;
const TTL_MS = 5 * RENEW_MS;
/** Nodes of one command. */
const AT_ONCE = 200;
/** Beyond this, what was known says too little of now. */
const MAX_AGE_MS = TTL_MS;

const factsSchema = z.object({
  url: z.string().max(512),
  facts: z.object({
    address: maybe(address),
    resident: residentModels,
    tags: modelsOnDisk,
    version: maybe(version),
    rttMs: maybe(ms),
    seenAgeMs: z.object({ resident: maybe(ms), tags: maybe(ms), version: maybe(ms) }),
    health: z.object({
      status: z.enum(['unknown', 'ready', 'suspect', 'down']),
      sinceAgeMs: z.number().min(0).max(1e12),
      strikes: z.number().int().min(0).max(1_000),
      flaps: z.number().int().min(0).max(16),
      goodAgeMs: maybe(z.number().min(0).max(1e12)),
      failureRate: z.number().min(0).max(1),
      failure: maybe(
        z.object({
          reason: failureReason,
          source: z.enum(['poll', 'live']),
          detail: z.string().max(512),
          ageMs: z.number().min(0).max(1e12),
        }),
      ),
    }),
  }) satisfies z.ZodType<NodeFacts>,
});

export interface SharedFactsOptions {
  readonly store: Store;
  readonly fleet: Fleet;
  readonly clock: Clock;
  /** Whether this replica polls the node: one writer is enough. */
  readonly isOurs: (node: NodeId) => boolean;
}

interface Saved {
  readonly models: NodeRecord['models'];
  readonly resident: NodeRecord['resident'];
  /** What of `resident` others need to know: when a model expires changes with every request. */
  readonly memory: string;
  readonly status: string;
  readonly address: string | undefined;
  readonly at: number;
}

/** Keeps the latest facts of each node in the store, for replicas that start later; they need not wait for polls. */
export class SharedFacts {
  readonly #options: SharedFactsOptions;
  readonly #saved = new Map<NodeId, Saved>();

  constructor(options: SharedFactsOptions) {
    this.#options = options;
  }

  /** Starts from what others know. Rejects with StoreError. */
  async load(): Promise<void> {
    const { store, fleet, clock } = this.#options;
    const ids = [...fleet.nodes.keys()];
    for (let from = 0; from < ids.length; from += AT_ONCE) {
      for (const stored of await store.loadNodes(ids.slice(from, from + AT_ONCE))) {
        const parsed = factsSchema.safeParse(stored.facts);
        if (!parsed.success || !(stored.ageMs >= 0 && stored.ageMs < MAX_AGE_MS)) continue;
        const { url, facts } = parsed.data;
        // The store's own clock says how long ago it was written: clocks of replicas need not agree.
        const writtenAt = clock.now() - stored.ageMs;
        fleet.restore(stored.id, (record) =>
          formatOrigin(record.spec.url) === url ? withFacts(record, facts, writtenAt) : record,
        );
      }
    }
  }

  /** Saves what has changed, at most once a second, until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    while (!signal.aborted) {
      await clock.sleep(SAVE_EVERY_MS, signal);
      if (!signal.aborted) await this.#save();
    }
  }

  async #save(): Promise<void> {
    const { store, fleet, clock, isOurs } = this.#options;
    if (store.state !== 'up') return;
    for (const id of this.#saved.keys()) if (!fleet.nodes.has(id)) this.#saved.delete(id);
    const now = clock.now();
    const due: { record: NodeRecord; saved: Saved }[] = [];
    for (const record of fleet.nodes.values()) {
      const { spec, health } = record;
      if (!isOurs(spec.id) || health.status === 'unknown') continue;
      const before = this.#saved.get(spec.id);
      const saved = summary(record, before, now);
      if (isDue(before, saved)) due.push({ record, saved });
    }
    for (let from = 0; from < due.length; from += AT_ONCE) {
      const part = due.slice(from, from + AT_ONCE);
      try {
        await store.saveNodes(
          part.map(({ record }) => ({
            id: record.spec.id,
            facts: { url: formatOrigin(record.spec.url), facts: factsOf(record, now) },
          })),
          TTL_MS,
        );
      } catch {
        // Tried again in a second; that the store fails is said elsewhere.
        return;
      }
      for (const { record, saved } of part) this.#saved.set(record.spec.id, saved);
    }
  }
}

function summary(
  { models, resident, health, address }: NodeRecord,
  before: Saved | undefined,
  at: number,
): Saved {
  const memory =
    before?.resident === resident
      ? before.memory
      : [...resident.values()]
          .map(({ key, digest, vramBytes }) => `${key} ${digest} ${vramBytes}`)
          .join('\n');
  return { models, resident, memory, status: health.status, address, at };
}

function isDue(before: Saved | undefined, now: Saved): boolean {
  return (
    before === undefined ||
    before.models !== now.models ||
    before.memory !== now.memory ||
    before.status !== now.status ||
    before.address !== now.address ||
    now.at - before.at >= RENEW_MS
  );
}
