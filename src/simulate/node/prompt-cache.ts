import type { Job, JobOrder } from './job.ts';

interface Held {
  session: number | undefined;
  prefix: number | undefined;
  prefixTokens: number;
  /** Prompt and answer. */
  tokens: number;
  usedAt: number;
}

/** What each slot of a runner has read last: a prompt that begins the same need not be read from its beginning. */
export class PromptCache {
  readonly #held: Held[];

  constructor(slots: number) {
    this.#held = Array.from({ length: slots }, () => ({
      session: undefined,
      prefix: undefined,
      prefixTokens: 0,
      tokens: 0,
      usedAt: Number.NEGATIVE_INFINITY,
    }));
  }

  /** The free slot that holds most of the prompt, else the one unused for longest; -1: none is free. */
  pick(order: JobOrder, slots: readonly (Job | undefined)[]): number {
    let best = -1;
    let mostTokens = -1;
    for (let at = 0; at < slots.length; at += 1) {
      if (slots[at] !== undefined) continue;
      const tokens = this.cachedTokens(order, at);
      if (tokens < mostTokens) continue;
      if (tokens === mostTokens && this.#at(at).usedAt >= this.#at(best).usedAt) continue;
      best = at;
      mostTokens = tokens;
    }
    return best;
  }

  /** Tokens of the prompt that the slot need not read; at least one is always read. */
  cachedTokens(order: JobOrder, slot: number): number {
    const held = this.#at(slot);
    let tokens = 0;
    if (order.session !== undefined && held.session === order.session)
      tokens = Math.min(held.tokens, order.sharedTokens);
    if (order.prefix !== undefined && held.prefix === order.prefix.id)
      tokens = Math.max(tokens, Math.min(held.prefixTokens, order.prefix.tokens));
    return Math.max(0, Math.min(tokens, order.promptTokens - 1));
  }

  /** The slot holds this prompt from now on; its answer too once that is written. */
  hold(slot: number, order: JobOrder, tokens: number, now: number): void {
    const held = this.#at(slot);
    held.session = order.session;
    held.prefix = order.prefix?.id;
    held.prefixTokens = Math.min(order.prefix?.tokens ?? 0, tokens);
    held.tokens = tokens;
    held.usedAt = now;
  }

  #at(slot: number): Held {
    return this.#held[slot] as Held; // sound: slots are those that it was made with
  }
}
