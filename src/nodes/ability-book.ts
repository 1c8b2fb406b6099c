import type { Clock } from '../app/ports.ts';
import type { ToldAbilities } from '../fleet/model-abilities.ts';
import type { ModelOnDisk, NodeId } from '../fleet/types.ts';
import { PollError } from './poll-error.ts';

/** Questions under way over the whole fleet: each reads the head of a model's file on its node. */
const AT_ONCE = 4;
const FIRST_RETRY_MS = 5_000;
const LAST_RETRY_MS = 600_000;
/** Far more than the models of any fleet; beyond, all is forgotten and asked again. */
const MAX_KNOWN = 20_000;

/** A node that has models of which something is to be found out. */
export interface Informant {
  readonly node: NodeId;
  /** Asks the node for one of its models. Rejects with PollError. */
  ask(model: string): Promise<ToldAbilities | undefined>;
  /** Hears what is known of one of its models, at once or later. */
  tell(digest: string, abilities: ToldAbilities): void;
  /** It is still ours to ask. */
  isLive(): boolean;
}

interface Entry {
  readonly informant: Informant;
  readonly model: string;
}

interface OpenQuestion {
  readonly digest: string;
  /** Who has the model, and under which name. The first is asked, and goes to the end of the row if it fails. */
  readonly informants: Map<NodeId, Entry>;
  failures: number;
  /** Monotonic ms. */
  notBefore: number;
  isAsked: boolean;
}

/**
 * What models can do, by digest: equal digests are equal models, so each is asked for once, at one of the nodes that have it. What
 * fails is tried again, later each time and at another node; nothing is known until then.
 */
export class AbilityBook {
  readonly #clock: Clock;
  readonly #known = new Map<string, ToldAbilities>();
  readonly #open = new Map<string, OpenQuestion>();
  readonly #onError: (error: unknown) => void;
  #asking = 0;

  /** `onError` hears of defects of ours. */
  constructor(clock: Clock, onError: (error: unknown) => void) {
    this.#clock = clock;
    this.#onError = onError;
  }

  /** Digests of which nothing is known yet. */
  get openQuestions(): number {
    return this.#open.size;
  }

  /** A node has these models: it is told what is known of them, and asked for the rest when its turn comes. */
  enquire(informant: Informant, models: Iterable<ModelOnDisk>): void {
    for (const { digest, name } of models) {
      if (digest === '') continue;
      const known = this.#known.get(digest);
      if (known !== undefined) informant.tell(digest, known);
      else this.#openFor(digest).informants.set(informant.node, { informant, model: name });
    }
    this.#askNext();
  }

  #openFor(digest: string): OpenQuestion {
    let question = this.#open.get(digest);
    if (question === undefined) {
      question = {
        digest,
        informants: new Map(),
        failures: 0,
        notBefore: this.#clock.now(),
        isAsked: false,
      };
      this.#open.set(digest, question);
    }
    return question;
  }

  #askNext(): void {
    const now = this.#clock.now();
    for (const question of this.#open.values()) {
      if (this.#asking >= AT_ONCE) return;
      if (question.isAsked || question.notBefore > now) continue;
      const next = firstLive(question);
      if (next !== undefined) this.#ask(question, next).catch(this.#onError);
      // Kept for a while: who has the model enquires again with its next tag list, and failures stay counted.
      else if (now - question.notBefore >= LAST_RETRY_MS) this.#open.delete(question.digest);
    }
  }

  async #ask(question: OpenQuestion, { informant, model }: Entry): Promise<void> {
    question.isAsked = true;
    this.#asking += 1;
    try {
      const abilities = await informant.ask(model);
      if (abilities === undefined) this.#postpone(question, informant.node, LAST_RETRY_MS);
      else this.#close(question, abilities);
    } catch (error) {
      if (!(error instanceof PollError)) throw error;
      this.#postpone(question, informant.node, FIRST_RETRY_MS * 2 ** question.failures);
    } finally {
      question.isAsked = false;
      this.#asking -= 1;
    }
    this.#askNext();
  }

  #close({ digest, informants }: OpenQuestion, abilities: ToldAbilities): void {
    if (this.#known.size >= MAX_KNOWN) this.#known.clear();
    this.#known.set(digest, abilities);
    this.#open.delete(digest);
    for (const { informant } of informants.values())
      if (informant.isLive()) informant.tell(digest, abilities);
  }

  #postpone(question: OpenQuestion, node: NodeId, pauseMs: number): void {
    question.failures = Math.min(question.failures + 1, 16);
    question.notBefore = this.#clock.now() + Math.min(pauseMs, LAST_RETRY_MS);
    // It enquires again with its next tag list, and stands at the end of the row then.
    question.informants.delete(node);
  }
}

function firstLive({ informants }: OpenQuestion): Entry | undefined {
  for (const [node, entry] of informants) {
    if (entry.informant.isLive()) return entry;
    informants.delete(node);
  }
  return undefined;
}
