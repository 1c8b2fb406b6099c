import type { NodeId } from '../../fleet/types.ts';
import type { Store } from '../../store/contract.ts';
import type { AgentDrains } from './agent-drains.ts';
import {
  type AgentDrainEntry,
  agentDocument,
  agentDocumentId,
  nodeOfAgentDocument,
  readAgentDocument,
} from './drain-documents.ts';

/** More documents than any fleet has: the rest is not looked at. */
const MAX_DOCUMENTS = 20_000;

export interface KeptAgentDrainsOptions {
  readonly store: Pick<Store, 'documents' | 'putDocument' | 'deleteDocument'>;
  readonly agents: Pick<AgentDrains, 'of'>;
}

/**
 * Keeps what agents want in the store, so that a control plane that starts sends an owner's machine nothing until its
 * agent has been heard again. The agent's own word replaces it; without one it is forgotten like any other that nobody
 * repeats.
 */
export class KeptAgentDrains {
  readonly #options: KeptAgentDrainsOptions;
  /** To be written, or deleted where nothing is left. */
  readonly #due = new Set<NodeId>();
  readonly #restored = new Set<NodeId>();
  #isLoaded = false;
  #isWriting = false;

  constructor(options: KeptAgentDrainsOptions) {
    this.#options = options;
  }

  /** What was kept, once: an answer later than the first knows no more. Rejects with StoreError. */
  async load(): Promise<readonly AgentDrainEntry[]> {
    if (this.#isLoaded) return [];
    const documents = await this.#options.store.documents('drains');
    this.#isLoaded = true;
    const entries: AgentDrainEntry[] = [];
    let left = MAX_DOCUMENTS;
    for (const [id, value] of documents) {
      if (left-- <= 0) break;
      const node = nodeOfAgentDocument(id);
      if (node === undefined) continue;
      // What was said to this process meanwhile is newer; what cannot be read is dropped with the next word.
      if (this.#options.agents.of(node) === undefined && !this.#due.has(node))
        entries.push(...readAgentDocument(node, value));
      this.#restored.add(node);
    }
    return entries;
  }

  /** The node's agent has spoken to this replica. */
  said(node: NodeId): void {
    this.#due.add(node);
    void this.flush();
  }

  /** Nobody has repeated it for long. */
  expired(node: NodeId): void {
    if (this.#restored.has(node)) this.said(node);
  }

  /** Writes what is due. Never rejects: what fails is tried again with the next call. */
  async flush(): Promise<void> {
    if (this.#isWriting) return;
    this.#isWriting = true;
    try {
      for (const node of this.#due) {
        this.#due.delete(node);
        await this.#write(node).catch((error: unknown) => {
          this.#due.add(node);
          throw error;
        });
      }
    } catch {
      // The store says itself that it is down.
    }
    this.#isWriting = false;
  }

  async #write(node: NodeId): Promise<void> {
    const { store, agents } = this.#options;
    const causes = agents.of(node);
    if (causes === undefined) await store.deleteDocument('drains', agentDocumentId(node));
    else await store.putDocument('drains', agentDocumentId(node), agentDocument(causes));
  }
}
