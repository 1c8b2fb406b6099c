import type { NodeId } from '../../fleet/types.ts';
import { StoreTrouble } from '../sharing/store-trouble.ts';
import {
  candidateOf,
  documentKey,
  documentOf,
  type NodeDocument,
  nodeDocumentId,
  ownerDocumentId,
  readDocument,
  restoredEntry,
} from './registry-documents.ts';
import { type Decision, type Entry, placeOf } from './registry-entry.ts';
import type { NodeRegistryOptions } from './registry-options.ts';
import { isInFleet, type NodeTable } from './registry-table.ts';
import { type Candidate, NodeAdminError } from './registry-types.ts';

const TICK_MS = 100;
/** The store is read again this often; a message of another replica brings that forward. */
const RESYNC_MS = 10_000;
const PAUSE_PER_SYNC = 20;
/** Documents taken over before others have their turn. */
const SLICE = 500;
/** How long it is remembered that a node has left, for replicas that were away. */
const KEEP_LEFT_MS = 24 * 3_600_000;
/** More documents than any registry writes: the rest is not looked at. */
const MAX_DOCUMENTS = 50_000;

const NEVER = new AbortController().signal;

/** Called when a replica's news takes a node out of the fleet. */
type OnLeave = (entry: Entry) => void;

/** Keeps the registry in step with the store, and so with the other replicas and the next start. */
export class RegistryReplica {
  readonly #options: NodeRegistryOptions;
  readonly #table: NodeTable;
  readonly #onChange: () => void;
  readonly #onLeave: OnLeave;
  /** Documents to write, by id; undefined: to delete. */
  readonly #pending = new Map<string, unknown>();
  /** Ids that the store had when it was last read or written. */
  readonly #stored = new Set<string>();
  readonly #owners = new Map<NodeId, string>();
  readonly #bad = new Set<string>();
  readonly #trouble: StoreTrouble;
  #isBehind = false;

  constructor(options: NodeRegistryOptions, table: NodeTable, onChange: () => void, onLeave: OnLeave) {
    this.#options = options;
    this.#table = table;
    this.#onChange = onChange;
    this.#onLeave = onLeave;
    this.#trouble = new StoreTrouble({
      ...options,
      failing:
        'the node registry cannot be kept in the store for now; this replica goes on with what it knows',
      over: 'the node registry is kept in the store again',
    });
  }

  /** The key that answers for a configured node. */
  ownerOf(id: NodeId): string | undefined {
    return this.#owners.get(id);
  }

  own(id: NodeId, identity: string): void {
    if (this.#owners.get(id) === identity) return;
    this.#owners.set(id, identity);
    this.#pending.set(ownerDocumentId(id), { kind: 'owner', id, identity });
  }

  /** The entry will be written, or deleted where it is not worth keeping. */
  changed(entry: Entry): void {
    const id = nodeDocumentId(entry.key);
    const document = documentOf(entry);
    if (document !== undefined || this.#stored.has(id) || this.#pending.has(id))
      this.#pending.set(id, document);
  }

  left(entry: Entry): void {
    const document = documentOf({ ...entry, state: 'member' });
    const changedAt = this.#options.clock.date().toISOString();
    if (document === undefined) return;
    const { decision: _, ...rest } = document;
    this.#pending.set(nodeDocumentId(entry.key), {
      ...rest,
      state: 'left',
      changedAt,
    } satisfies NodeDocument);
  }

  /** Writes an operator's word first: what was not kept was not done. Rejects with NodeAdminError. */
  async decide(entry: Entry, decision: Decision): Promise<void> {
    const isRemoval = decision.kind === 'removed';
    const state = isRemoval ? 'removed' : entry.state === 'removed' ? 'candidate' : entry.state;
    const id = nodeDocumentId(entry.key);
    try {
      await this.#options.store.putDocument('registry', id, documentOf({ ...entry, state, decision }));
    } catch (error) {
      throw new NodeAdminError(
        'store_down',
        'the store does not answer, so this could not be kept; nothing was changed. Try again when it is back',
        error,
      );
    }
    this.#stored.add(id);
    this.#pending.delete(id);
    this.#obey(entry, decision);
    this.#announce();
  }

  /** Writes what is pending, then reads all. Rejects never: a store that is down is said once, and tried again. */
  async sync(): Promise<void> {
    try {
      await this.#flush();
      await this.#merge(await this.#options.store.documents('registry'));
      this.#trouble.over();
    } catch (error) {
      this.#trouble.met(error);
    }
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, store, replica } = this.#options;
    const end = store.subscribe(replica, ({ topic, body }) => {
      if (topic === 'documents' && isRegistryNews(body)) this.#isBehind = true;
    });
    let syncedAt = clock.now();
    let pauseMs = 0;
    while (!signal.aborted) {
      const age = clock.now() - syncedAt;
      const isDue = age >= (this.#trouble.isPresent ? RESYNC_MS / 10 : RESYNC_MS);
      const isNews = this.#isBehind || (this.#pending.size > 0 && !this.#trouble.isPresent);
      // A large registry takes its time to read: news that keep coming cost a twentieth of it at most.
      if (isDue || (isNews && age >= pauseMs)) {
        this.#isBehind = false;
        const startedAt = clock.now();
        await this.sync();
        syncedAt = clock.now();
        pauseMs = Math.min(RESYNC_MS, PAUSE_PER_SYNC * (syncedAt - startedAt));
      }
      await clock.sleep(TICK_MS, signal);
    }
    if (this.#pending.size > 0) await this.#flush().catch(() => {});
    end();
  }

  async #flush(): Promise<void> {
    const { store } = this.#options;
    let wrote = false;
    for (const [id, value] of [...this.#pending]) {
      if (value === undefined) {
        await store.deleteDocument('registry', id);
        this.#stored.delete(id);
      } else {
        await store.putDocument('registry', id, value);
        this.#stored.add(id);
      }
      if (this.#pending.get(id) === value) this.#pending.delete(id);
      wrote = true;
    }
    if (wrote) this.#announce();
  }

  /** Lost messages cost time only: the others read again by themselves. */
  #announce(): void {
    const { store, replica } = this.#options;
    const body = { kind: 'registry' };
    store.publish({ from: replica, to: undefined, topic: 'documents', body }).catch(() => {});
  }

  async #merge(documents: ReadonlyMap<string, unknown>): Promise<void> {
    const { clock } = this.#options;
    let seen = 0;
    for (const [id, value] of documents) {
      if (seen++ >= MAX_DOCUMENTS) break;
      if (seen % SLICE === 0) await clock.sleep(0, NEVER);
      this.#stored.add(id);
      // What we are about to write is newer.
      if (this.#pending.has(id)) continue;
      const document = readDocument(value);
      const candidate = document?.kind === 'node' ? candidateOf(document, this.#options.parseUrl) : undefined;
      if (document?.kind === 'owner') {
        if (!this.#owners.has(document.id)) this.#owners.set(document.id, document.identity);
      } else if (document === undefined || candidate === undefined) {
        this.#reportBad(id);
      } else {
        this.#mergeNode(id, document, candidate);
      }
    }
    // A store that lost its data is filled again; what leaves on purpose leaves a mark.
    for (const entry of this.#table.entries.values())
      if (!documents.has(nodeDocumentId(entry.key))) this.changed(entry);
    for (const [id, identity] of this.#owners)
      if (!documents.has(ownerDocumentId(id)))
        this.#pending.set(ownerDocumentId(id), { kind: 'owner', id, identity });
    this.#onChange();
  }

  #mergeNode(documentId: string, document: NodeDocument, candidate: Candidate): void {
    const { clock } = this.#options;
    const key = documentKey(document, candidate);
    const known = this.#table.entries.get(key);
    if (known !== undefined) {
      this.#mergeKnown(known, document, candidate);
    } else if (document.state !== 'left') {
      this.#adopt(restoredEntry(key, document, candidate, clock.now()));
    } else if (clock.date().getTime() - Date.parse(document.changedAt) > KEEP_LEFT_MS) {
      this.#pending.set(documentId, undefined);
    }
  }

  #mergeKnown(known: Entry, document: NodeDocument, candidate: Candidate): void {
    const { decision } = document;
    if (decision !== undefined && decision.at > (known.decision?.at ?? '')) this.#obey(known, decision);
    else if (known.decision !== undefined && known.decision.at > (decision?.at ?? '')) this.changed(known);
    if (document.firstSeenAt < known.firstSeenAt) known.firstSeenAt = document.firstSeenAt;
    if (document.id !== known.id) this.#takeName(known, document.id);
    if (known.state === 'removed') return;
    const isNewer = document.changedAt > known.changedAt;
    if (document.state === 'left') {
      if (known.namedBy.size === 0 || (candidate.source === 'agent' && isNewer)) this.#onLeave(known);
      else this.changed(known);
      return;
    }
    if (document.state !== 'member' || document.needsSource) return;
    // Another replica has proven it, and knows better where an agent is that reported there.
    const isElsewhere = placeOf(candidate.url) !== placeOf((known.active ?? known.latest).url);
    // Two replicas heard of two addresses in the same millisecond: the store decides for both.
    const isTied = isElsewhere && document.changedAt === known.changedAt;
    const isProven = known.state === 'candidate' || (candidate.source === 'agent' && (isNewer || isTied));
    if (!isProven || this.#table.clash(known, candidate, [], () => undefined) !== undefined) return;
    known.latest = candidate;
    this.#table.place(known, candidate);
    known.problem = undefined;
    if (!isInFleet(known)) known.state = 'member';
    known.changedAt = document.changedAt;
  }

  /** Takes a stored node in; where two have one name, the older keeps it, on every replica. */
  #adopt(entry: Entry): void {
    const holder = this.#table.byId(entry.id);
    const wanted = entry.id;
    this.#table.add(entry);
    if (holder !== undefined || this.#table.configuredNode(wanted) !== undefined)
      this.#takeName(entry, wanted);
  }

  /** What the store says is the name. Where another has it, the older one keeps it: the same on every replica. */
  #takeName(entry: Entry, wanted: NodeId): void {
    const holder = this.#table.byId(wanted);
    const isFree = this.#table.configuredNode(wanted) === undefined;
    if (isFree && (holder === undefined || holder === entry)) {
      this.#table.rename(entry, wanted);
      return;
    }
    const loser = isFree && holder !== undefined && isOlder(entry, holder) ? holder : entry;
    this.#table.rename(loser, this.#table.otherName(loser));
    this.changed(loser);
    if (loser !== entry) this.#table.rename(entry, wanted);
  }

  #obey(entry: Entry, decision: Decision): void {
    entry.decision = decision;
    entry.changedAt = decision.at;
    if (decision.kind === 'removed') {
      entry.state = 'removed';
      this.#table.place(entry, undefined);
      entry.problem = 'an operator removed it';
      return;
    }
    if (entry.state === 'removed') entry.state = 'candidate';
    if (entry.state !== 'candidate') return;
    entry.problem = 'is being asked whether it is an Ollama';
    entry.nextProbeAt = this.#options.clock.now();
    entry.failedProbes = 0;
  }

  #reportBad(id: string): void {
    if (this.#bad.has(id) || this.#bad.size > 1_000) return;
    this.#bad.add(id);
    this.#options.log.warn(
      { document: id },
      'a document of the node registry in the store is not what Warmpath writes; it is ignored',
    );
  }
}

function isOlder(a: Entry, b: Entry): boolean {
  return a.firstSeenAt === b.firstSeenAt ? a.key < b.key : a.firstSeenAt < b.firstSeenAt;
}

function isRegistryNews(body: unknown): boolean {
  return typeof body === 'object' && body !== null && 'kind' in body && body.kind === 'registry';
}
