import type { PromptPrefix } from '../request/types.ts';
import type { PromptMemory } from '../routing/types.ts';
import type { ModelKey, NodeId } from './types.ts';

/** Conversations that are remembered in all; one takes about a kilobyte. */
const MAX_CONVERSATIONS = 20_000;
/** Per node and model, however many slots it has. */
const MAX_SLOTS = 64;
/** Of one prompt; the reader of requests makes no more. */
const MAX_PREFIXES = 16;
/** A prompt read longer ago is most likely overwritten by somebody whom nobody tells us of. */
const MAX_AGE_MS = 60 * 60 * 1000;

/** The prompt that one slot of a node read last. */
interface Conversation {
  readonly slots: Slots;
  readonly hashes: readonly number[];
  readonly at: number;
}

/** The slots of one node for one model, and which prefixes they hold. */
interface Slots {
  readonly node: NodeId;
  readonly model: ModelKey;
  /** Least recently used first. */
  readonly conversations: Set<Conversation>;
  /** Of each prefix the conversation that used it last. */
  readonly byHash: Map<number, Conversation>;
}

/**
 * Remembers which beginnings of prompts lie in the caches of Ollama's runners. Each slot of a loaded model keeps the
 * last prompt it read; one that goes on with it takes its place, any other that of the least recently used slot.
 * What it says is a belief: others may use the node too.
 */
export class NodePromptMemory implements PromptMemory {
  readonly #models = new Map<ModelKey, Map<NodeId, Slots>>();
  /** All of them, oldest first. */
  readonly #conversations = new Set<Conversation>();
  readonly #maxConversations: number;

  constructor(maxConversations: number = MAX_CONVERSATIONS) {
    this.#maxConversations = maxConversations;
  }

  /** Conversations that are remembered. */
  get size(): number {
    return this.#conversations.size;
  }

  cachedBytes(node: NodeId, model: ModelKey, prefixes: readonly PromptPrefix[], now: number): number {
    if (prefixes.length === 0) return 0;
    const byHash = this.#models.get(model)?.get(node)?.byHash;
    if (byHash === undefined) return 0;
    for (let i = prefixes.length - 1; i >= 0; i--) {
      const prefix = prefixes[i] as PromptPrefix; // i < length
      const conversation = byHash.get(prefix.hash);
      if (conversation !== undefined && now - conversation.at <= MAX_AGE_MS) return prefix.bytes;
    }
    return 0;
  }

  /** The node has read a prompt that begins with `prefixes`; `slots`: prompts of the model that it keeps at once. */
  note(node: NodeId, model: ModelKey, prefixes: readonly PromptPrefix[], slots: number, now: number): void {
    if (prefixes.length === 0) return;
    const hashes = prefixes.slice(-MAX_PREFIXES).map(({ hash }) => hash);
    const known = this.#slotsOf(node, model);
    const overwritten = continued(known, hashes);
    if (overwritten !== undefined) this.#drop(overwritten);
    const limit = Math.min(Math.max(1, Math.floor(slots) || 1), MAX_SLOTS);
    while (known.conversations.size >= limit) this.#dropOldest(known.conversations);
    if (this.#conversations.size >= this.#maxConversations) this.#dropOldest(this.#conversations);
    const conversation: Conversation = { slots: known, hashes, at: now };
    known.conversations.add(conversation);
    this.#conversations.add(conversation);
    for (const hash of hashes) known.byHash.set(hash, conversation);
    this.#keep(known);
  }

  /** The node has lost the model from memory or loaded it anew, and with it the caches; without a model: all of them. */
  forget(node: NodeId, model?: ModelKey): void {
    const models = model === undefined ? [...this.#models.values()] : [this.#models.get(model)];
    for (const nodes of models) {
      for (const conversation of [...(nodes?.get(node)?.conversations ?? [])]) this.#drop(conversation);
    }
  }

  #slotsOf(node: NodeId, model: ModelKey): Slots {
    return this.#models.get(model)?.get(node) ?? { node, model, conversations: new Set(), byHash: new Map() };
  }

  #keep(slots: Slots): void {
    const nodes = this.#models.get(slots.model);
    if (nodes === undefined) this.#models.set(slots.model, new Map([[slots.node, slots]]));
    else nodes.set(slots.node, slots);
  }

  #dropOldest(conversations: ReadonlySet<Conversation>): void {
    for (const oldest of conversations) {
      this.#drop(oldest);
      return;
    }
  }

  #drop(conversation: Conversation): void {
    const { slots, hashes } = conversation;
    this.#conversations.delete(conversation);
    slots.conversations.delete(conversation);
    for (const hash of hashes) {
      if (slots.byHash.get(hash) !== conversation) continue;
      const other = holderOf(slots, hash);
      if (other === undefined) slots.byHash.delete(hash);
      else slots.byHash.set(hash, other);
    }
    if (slots.conversations.size > 0) return;
    const nodes = this.#models.get(slots.model);
    nodes?.delete(slots.node);
    if (nodes?.size === 0) this.#models.delete(slots.model);
  }
}

/** The conversation that the prompt goes on with, if any. */
function continued(slots: Slots, hashes: readonly number[]): Conversation | undefined {
  for (let i = hashes.length - 1; i >= 0; i--) {
    const hash = hashes[i] as number; // i < length
    const found = slots.byHash.get(hash);
    if (found !== undefined) return goesOn(found.hashes, hash) ? found : undefined;
  }
  return undefined;
}

/**
 * Whether all that was said before is said again, or all but the last turn, which was asked otherwise. A system prompt
 * and tools in common make no one conversation: a node with free slots keeps both.
 */
function goesOn(earlier: readonly number[], common: number): boolean {
  const after = earlier.length - 1 - earlier.lastIndexOf(common);
  return after === 0 || (after === 1 && earlier.length > 3);
}

/** The conversation used last among those that hold a prefix. */
function holderOf(slots: Slots, hash: number): Conversation | undefined {
  let last: Conversation | undefined;
  for (const conversation of slots.conversations) {
    if (conversation.hashes.includes(hash)) last = conversation;
  }
  return last;
}
