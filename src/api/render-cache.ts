import type { FleetSnapshot } from '../fleet/types.ts';

/** Rendering may take this share of the event loop: after one that took 5 ms the next waits 100 ms. */
const REST_PER_WORK = 20;

/** Something made of the snapshot, made again when the snapshot is another one and the last making was long enough ago. */
export class RenderCache<T> {
  readonly #snapshot: () => FleetSnapshot;
  readonly #render: (snapshot: FleetSnapshot) => T;
  readonly #now: () => number;
  #held: { readonly version: number; readonly value: T; readonly restUntil: number } | undefined;

  constructor(snapshot: () => FleetSnapshot, render: (snapshot: FleetSnapshot) => T, now: () => number) {
    this.#snapshot = snapshot;
    this.#render = render;
    this.#now = now;
  }

  get(): T {
    const began = this.#now();
    const held = this.#held;
    if (held !== undefined && began < held.restUntil) return held.value;
    const snapshot = this.#snapshot();
    if (held?.version === snapshot.version) return held.value;
    const value = this.#render(snapshot);
    const ended = this.#now();
    const restUntil = ended + (ended - began) * REST_PER_WORK;
    this.#held = { version: snapshot.version, value, restUntil };
    return value;
  }
}
