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

/** All that is remembered of one model. */
interface Prompts {
  readonly nodes: Map<NodeId, Slots>;
  /** On how many nodes each prefix is. */
  readonly holders: Map<number, number>;
}

/**
 * Remembers which beginnings of prompts lie in the caches of Ollama's runners. Each slot of a loaded model keeps the
 * last prompt it read; one that goes on with it takes its place, any other that of the least recently used slot.
 * What it says is a belief: others may use the node too.
 */
export class NodePromptMemory implements PromptMemory {
  readonly #models = new Map<ModelKey, Prompts>();
  /** All of them, oldest first. */
  readonly #conversations = new Set<Conversation>();
  readonly #maxConversations: number;
  /** Of the last question, which is asked of node after node: the prefixes that any node has at all. */
  #asked: { readonly model: ModelKey; readonly prefixes: readonly PromptPrefix[] } | undefined;
  #found: readonly PromptPrefix[] = [];

  constructor(maxConversations: number = MAX_CONVERSATIONS) {
    this.#maxConversations = maxConversations;
  }

  /** Conversations that are remembered. */
  get size(): number {
    return this.#conversations.size;
  }

  cachedBytes(node: NodeId, model: ModelKey, prefixes: readonly PromptPrefix[], now: number): number {
    const found = this.#knownAnywhere(model, prefixes);
    if (found.length === 0) return 0;
    const byHash = this.#models.get(model)?.nodes.get(node)?.byHash;
    if (byHash === undefined) return 0;
    for (let i = found.length - 1; i >= 0; i--) {
      const prefix = found[i] as PromptPrefix; // i < length
      const conversation = byHash.get(prefix.hash);
      if (conversation !== undefined && now - conversation.at <= MAX_AGE_MS) return prefix.bytes;
    }
    return 0;
  }

  /** The node has read a prompt that begins with `prefixes`; `slots`: prompts of the model that it keeps at once. */
  note(node: NodeId, model: ModelKey, prefixes: readonly PromptPrefix[], slots: number, now: number): void {
    if (prefixes.length === 0) return;
    const hashes = prefixes.slice(-MAX_PREFIXES).map(({ hash }) => hash);
    this.#asked = undefined;
    const known = this.#slotsOf(node, model);
    const overwritten = continued(known, hashes);
    if (overwritten !== undefined) this.#drop(overwritten);
    const limit = Math.min(Math.max(1, Math.floor(slots) || 1), MAX_SLOTS);
    while (known.conversations.size >= limit) this.#dropOldest(known.conversations);
    if (this.#conversations.size >= this.#maxConversations) this.#dropOldest(this.#conversations);
    const conversation: Conversation = { slots: known, hashes, at: now };
    known.conversations.add(conversation);
    this.#conversations.add(conversation);
    const { nodes, holders } = this.#promptsOf(model);
    nodes.set(node, known);
    for (const hash of hashes) {
      if (!known.byHash.has(hash)) holders.set(hash, (holders.get(hash) ?? 0) + 1);
      known.byHash.set(hash, conversation);
    }
  }

  /** The node has lost the model from memory or loaded it anew, and with it the caches; without a model: all of them. */
  forget(node: NodeId, model?: ModelKey): void {
    const models = model === undefined ? [...this.#models.values()] : [this.#models.get(model)];
    for (const prompts of models) {
      for (const conversation of [...(prompts?.nodes.get(node)?.conversations ?? [])])
        this.#drop(conversation);
    }
  }

  #knownAnywhere(model: ModelKey, prefixes: readonly PromptPrefix[]): readonly PromptPrefix[] {
    if (this.#asked?.prefixes === prefixes && this.#asked.model === model) return this.#found;
    const holders = this.#models.get(model)?.holders;
    this.#asked = { model, prefixes };
    this.#found = holders === undefined ? [] : prefixes.filter(({ hash }) => holders.has(hash));
    return this.#found;
  }

  #slotsOf(node: NodeId, model: ModelKey): Slots {
    const known = this.#models.get(model)?.nodes.get(node);
    return known ?? { node, model, conversations: new Set(), byHash: new Map() };
  }

  #promptsOf(model: ModelKey): Prompts {
    const known = this.#models.get(model);
    if (known !== undefined) return known;
    const prompts: Prompts = { nodes: new Map(), holders: new Map() };
    this.#models.set(model, prompts);
    return prompts;
  }

  #dropOldest(conversations: ReadonlySet<Conversation>): void {
    for (const oldest of conversations) {
      this.#drop(oldest);
      return;
    }
  }

  #drop(conversation: Conversation): void {
    const { slots, hashes } = conversation;
    this.#asked = undefined;
    this.#conversations.delete(conversation);
    slots.conversations.delete(conversation);
    const prompts = this.#promptsOf(slots.model);
    for (const hash of hashes) {
      if (slots.byHash.get(hash) !== conversation) continue;
      const other = holderOf(slots, hash);
      if (other !== undefined) slots.byHash.set(hash, other);
      else {
        slots.byHash.delete(hash);
        const left = (prompts.holders.get(hash) ?? 1) - 1;
        if (left > 0) prompts.holders.set(hash, left);
        else prompts.holders.delete(hash);
      }
    }
    if (slots.conversations.size === 0) prompts.nodes.delete(slots.node);
    if (prompts.nodes.size === 0) this.#models.delete(slots.model);
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
