import type { Drain, NodeId } from '../../fleet/types.ts';
import type { Store } from '../../store/contract.ts';
import type { Log } from '../log.ts';
import type { Clock } from '../ports.ts';
import { NodeAdminError } from '../registry/registry-types.ts';
import { StoreTrouble } from '../sharing/store-trouble.ts';
import { type DrainDocument, drainOf, nodeOfAgentDocument, readDrainDocument } from './drain-documents.ts';

/** How long the end of a drain is remembered, for replicas that were away. */
const KEEP_ENDED_MS = 24 * 3_600_000;
/** More documents than any fleet has: the rest is not looked at. */
const MAX_DOCUMENTS = 20_000;

export interface OperatorDrainsOptions {
  readonly store: Pick<Store, 'isShared' | 'state' | 'documents' | 'putDocument' | 'deleteDocument'>;
  readonly clock: Clock;
  readonly log: Log;
}

/** What operators ordered, as the store keeps it: for every replica and for the next start. */
export class OperatorDrains {
  readonly #options: OperatorDrainsOptions;
  readonly #known = new Map<NodeId, DrainDocument>();
  readonly #bad = new Set<string>();
  readonly #trouble: StoreTrouble;
  #writes = 0;

  constructor(options: OperatorDrainsOptions) {
    this.#options = options;
    this.#trouble = new StoreTrouble({
      ...options,
      failing: 'drains cannot be read from the store for now; those known stay as they are',
      over: 'drains are read from the store again',
    });
  }

  /** Whether the store did not answer when it was last read. */
  get isFailing(): boolean {
    return this.#trouble.isPresent;
  }

  of(node: NodeId): Drain | undefined {
    const document = this.#known.get(node);
    return document === undefined ? undefined : drainOf(document);
  }

  *nodes(): IterableIterator<NodeId> {
    for (const [node, { kind }] of this.#known) if (kind === 'drain') yield node;
  }

  /** Kept first, then true: what was not kept was not done. Rejects with NodeAdminError. */
  async put(node: NodeId, drain: Drain | undefined): Promise<void> {
    const at = this.#newer(node);
    const document: DrainDocument =
      drain === undefined
        ? { kind: 'ended', at }
        : {
            kind: 'drain',
            since: drain.since,
            note: drain.note,
            at,
            ...(drain.removeAt === undefined ? {} : { removeAt: drain.removeAt }),
          };
    this.#writes += 1;
    try {
      await this.#options.store.putDocument('drains', node, document);
    } catch (error) {
      throw new NodeAdminError(
        'store_down',
        'the store does not answer, so this could not be kept; nothing was changed. Try again when it is back',
        error,
      );
    }
    this.#writes += 1;
    this.#known.set(node, document);
  }

  /** Reads what all replicas wrote; answers the nodes of which something has changed. Never rejects. */
  async sync(): Promise<ReadonlySet<NodeId>> {
    const { store } = this.#options;
    try {
      const writes = this.#writes;
      const documents = await store.documents('drains');
      // Something was written meanwhile: what was read may be older.
      const changed = writes === this.#writes ? await this.#take(documents) : new Set<NodeId>();
      this.#trouble.over();
      return changed;
    } catch (error) {
      this.#trouble.met(error);
      return new Set();
    }
  }

  async #take(documents: ReadonlyMap<string, unknown>): Promise<ReadonlySet<NodeId>> {
    const { store, clock } = this.#options;
    const changed = new Set<NodeId>();
    const oldest = clock.date().getTime() - KEEP_ENDED_MS;
    let left = MAX_DOCUMENTS;
    for (const [node, value] of documents) {
      if (left-- <= 0) break;
      if (nodeOfAgentDocument(node) !== undefined) continue;
      const document = readDrainDocument(value);
      if (document === undefined) {
        this.#reportBad(node);
        continue;
      }
      const known = this.#known.get(node);
      if (known === undefined || document.at > known.at) {
        this.#known.set(node, document);
        if (document.kind === 'drain' || known?.kind === 'drain') changed.add(node);
      } else if (known.at > document.at) await store.putDocument('drains', node, known);
      if (document.kind === 'ended' && Date.parse(document.at) < oldest) {
        this.#known.delete(node);
        await store.deleteDocument('drains', node);
      }
    }
    // A store that lost its data is filled again; what ends on purpose leaves a mark.
    for (const [node, document] of this.#known) {
      if (documents.has(node)) continue;
      if (document.kind === 'ended' && Date.parse(document.at) < oldest) this.#known.delete(node);
      else await store.putDocument('drains', node, document);
    }
    return changed;
  }

  /** The time of a new word: after the one it replaces, though that may come from a replica whose clock is ahead. */
  #newer(node: NodeId): string {
    const now = this.#options.clock.date().getTime();
    const known = this.#known.get(node);
    return new Date(known === undefined ? now : Math.max(now, Date.parse(known.at) + 1)).toISOString();
  }

  #reportBad(node: string): void {
    if (this.#bad.has(node) || this.#bad.size > 1_000) return;
    this.#bad.add(node);
    this.#options.log.warn(
      { document: node.slice(0, 64) },
      'the drain of a node in the store is not what Warmpath writes; it is ignored',
    );
  }
}
