/** Something that happens at a moment; those of one moment in the order in which they were planned. */
export interface PlannedEvent {
  readonly due: number;
  readonly order: number;
  /** Undefined: called off. */
  fire: (() => void) | undefined;
}

/** Binary heap of events, soonest first. What is called off stays in it until its time comes, or until it is most of the heap. */
export class EventHeap {
  #events: PlannedEvent[] = [];
  #calledOff = 0;

  get size(): number {
    return this.#events.length - this.#calledOff;
  }

  push(event: PlannedEvent): void {
    const events = this.#events;
    let at = events.length;
    events.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = events[parent] as PlannedEvent; // sound: 0 <= parent < at
      if (!isBefore(event, above)) break;
      events[at] = above;
      at = parent;
    }
    events[at] = event;
  }

  /** False when it was called off before, or has happened. */
  callOff(event: PlannedEvent): boolean {
    if (event.fire === undefined) return false;
    event.fire = undefined;
    this.#calledOff += 1;
    if (this.#calledOff > 1_000 && this.#calledOff > this.#events.length / 2) this.#clean();
    return true;
  }

  /** Takes the soonest event out; undefined: nothing is planned. */
  pop(): (PlannedEvent & { fire: () => void }) | undefined {
    for (;;) {
      const first = this.#events[0];
      if (first === undefined) return undefined;
      const last = this.#events.pop() as PlannedEvent; // sound: there is a first one
      if (first !== last) this.#sink(last, 0);
      if (first.fire !== undefined) return first as PlannedEvent & { fire: () => void }; // sound: just asked
      this.#calledOff -= 1;
    }
  }

  #sink(event: PlannedEvent, from: number): void {
    const events = this.#events;
    let at = from;
    for (;;) {
      let child = 2 * at + 1;
      const left = events[child];
      if (left === undefined) break;
      const right = events[child + 1];
      let sooner = left;
      if (right !== undefined && isBefore(right, left)) {
        child += 1;
        sooner = right;
      }
      if (!isBefore(sooner, event)) break;
      events[at] = sooner;
      at = child;
    }
    events[at] = event;
  }

  #clean(): void {
    const kept = this.#events.filter(({ fire }) => fire !== undefined);
    this.#events = [];
    this.#calledOff = 0;
    for (const event of kept) this.push(event);
  }
}

function isBefore(a: PlannedEvent, b: PlannedEvent): boolean {
  return a.due < b.due || (a.due === b.due && a.order < b.order);
}
