import { z } from 'zod';
import { withLearntFigures } from '../../fleet/restore.ts';
import type { Learnt, NodeId, NodeRecord } from '../../fleet/types.ts';
import type { Store } from '../../store/contract.ts';
import type { Fleet } from '../fleet.ts';
import { formatOrigin } from '../host-port.ts';
import type { Clock } from '../ports.ts';
import { earlierFigures, figuresDocument, readFigures, writeFigures } from './figures-document.ts';
import { bytes, maybe, modelKey, ms } from './shared-schema.ts';

/** Every answer teaches something: often enough that little is lost with a process. */
const SAVE_EVERY_MS = 30_000;
/** Writes under way. */
const AT_ONCE = 50;
const MAX_MODELS = 256;
/** Figures of nodes that are not of this fleet are kept for those who return, but not for ever. */
const MAX_STRANGER_AGE_MS = 30 * 86_400_000;

const figuresSchema = z.object({
  /** A node that moved to another URL is another machine. */
  url: z.string().max(512),
  /** ISO 8601, by the writer's clock: days do not need a better one. */
  savedAt: z.string().max(64),
  slots: z.number().int().min(1).max(4_096),
  loadBytesPerSecond: maybe(
    z
      .number()
      .min(1)
      .max(2 ** 50),
  ),
  maxVramSeenBytes: bytes,
  vramCeilingBytes: maybe(bytes),
  figures: figuresDocument.default([]),
  /** What earlier versions knew of models: how long their requests took. */
  serviceMs: z
    .array(z.tuple([modelKey, ms]))
    .max(MAX_MODELS)
    .default([]),
});

export interface LearntFiguresOptions {
  readonly store: Store;
  readonly fleet: Fleet;
  readonly clock: Clock;
  /** Whether this replica polls the node: one writer is enough. */
  readonly isOurs: (node: NodeId) => boolean;
}

/** What was learnt from traffic outlives the process: in the state directory, or for all replicas in Redis. */
export class LearntFigures {
  readonly #options: LearntFiguresOptions;
  readonly #saved = new Map<NodeId, Learnt>();

  constructor(options: LearntFiguresOptions) {
    this.#options = options;
  }

  /** Starts from what was learnt before. Rejects with StoreError. */
  async load(): Promise<void> {
    const { store, fleet, clock } = this.#options;
    for (const [id, document] of await store.documents('learnt')) {
      const parsed = figuresSchema.safeParse(document);
      if (!parsed.success) continue;
      const { url, savedAt, serviceMs, figures, ...others } = parsed.data;
      if (!fleet.nodes.has(id)) {
        const ageMs = clock.date().getTime() - Date.parse(savedAt);
        if (ageMs > MAX_STRANGER_AGE_MS) await store.deleteDocument('learnt', id);
        continue;
      }
      fleet.restore(id, (record) =>
        formatOrigin(record.spec.url) === url
          ? withLearntFigures(record, {
              ...others,
              figures: new Map([
                ...earlierFigures(serviceMs, Date.parse(savedAt)),
                ...readFigures(figures, clock.date().getTime()),
              ]),
            })
          : record,
      );
      const record = fleet.nodes.get(id);
      if (record !== undefined) this.#saved.set(id, record.learnt);
    }
  }

  /** Saves what has changed until `signal` aborts, and once more then. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    while (!signal.aborted) {
      await clock.sleep(SAVE_EVERY_MS, signal);
      await this.#save();
    }
  }

  async #save(): Promise<void> {
    const { store, fleet, isOurs } = this.#options;
    if (store.state !== 'up') return;
    for (const id of this.#saved.keys()) if (!fleet.nodes.has(id)) this.#saved.delete(id);
    const due: NodeRecord[] = [];
    for (const record of fleet.nodes.values()) {
      const { spec, learnt } = record;
      if (isOurs(spec.id) && !isEmpty(learnt) && this.#saved.get(spec.id) !== learnt) due.push(record);
    }
    for (let from = 0; from < due.length; from += AT_ONCE)
      await Promise.all(due.slice(from, from + AT_ONCE).map((record) => this.#put(record)));
  }

  async #put({ spec, learnt }: NodeRecord): Promise<void> {
    const { store, clock } = this.#options;
    try {
      await store.putDocument('learnt', spec.id, {
        url: formatOrigin(spec.url),
        savedAt: clock.date().toISOString(),
        slots: learnt.slots,
        loadBytesPerSecond: learnt.loadBytesPerSecond,
        maxVramSeenBytes: learnt.maxVramSeenBytes,
        vramCeilingBytes: learnt.vramCeilingBytes,
        figures: writeFigures(learnt.figures),
      });
      this.#saved.set(spec.id, learnt);
    } catch {
      // Tried again with the next round; that the store fails is said elsewhere.
    }
  }
}

function isEmpty({ slots, loadBytesPerSecond, figures, maxVramSeenBytes }: Learnt): boolean {
  return slots <= 1 && loadBytesPerSecond === undefined && figures.size === 0 && maxVramSeenBytes === 0;
}
