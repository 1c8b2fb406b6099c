import { slotsFor } from '../fleet/figures.ts';
import { WARM_LOAD_MS } from '../fleet/learn-samples.ts';
import type { ModelKey, NodeId, Observation } from '../fleet/types.ts';
import type { PromptPrefix } from '../request/types.ts';
import type { Fleet } from './fleet.ts';
import type { Clock } from './ports.ts';

/** What remembers the prompts, see `NodePromptMemory`. */
export interface PromptBook {
  note(node: NodeId, model: ModelKey, prefixes: readonly PromptPrefix[], slots: number, now: number): void;
  forget(node: NodeId, model?: ModelKey): void;
}

/** Keeps the memory of prompts up to date from what nodes have served, here and by other control planes' word. */
export class PromptNotes {
  readonly #book: PromptBook;
  readonly #fleet: Fleet;
  readonly #clock: Clock;

  constructor(book: PromptBook, fleet: Fleet, clock: Clock) {
    this.#book = book;
    this.#fleet = fleet;
    this.#clock = clock;
  }

  /** The node has read the prompt, or at least the most of it. */
  note(node: NodeId, model: ModelKey, prefixes: readonly PromptPrefix[]): void {
    if (prefixes.length === 0) return;
    const view = this.#fleet.snapshot().byId.get(node);
    const slots = view === undefined ? 1 : slotsFor(view, model, undefined);
    this.#book.note(node, model, prefixes, slots, this.#clock.now());
  }

  /** The model has left the node's memory. */
  unloaded(node: NodeId, model: ModelKey): void {
    this.#book.forget(node, model);
  }

  /** An answer: whatever the model had read before a load is gone. */
  heard(node: NodeId, observation: Observation): void {
    if (observation.kind !== 'attempt_served') return;
    const { model, service } = observation;
    const { loadMs, wasWarm, concurrency } = service;
    const wasLoaded = loadMs === undefined ? !wasWarm : loadMs > WARM_LOAD_MS;
    if (wasLoaded && concurrency === 1) this.#book.forget(node, model);
    if (service.prefixes !== undefined) this.note(node, model, service.prefixes);
  }
}
