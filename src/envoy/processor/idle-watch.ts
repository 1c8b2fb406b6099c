import type { Clock } from '../../app/ports.ts';

/** How long nothing may come of a body that is held, and how long all of it may take, ms. */
const LIMITS = { idleMs: 60_000, wholeMs: 600_000 } as const;
/** So often it is looked at, ms: that much longer both may become. */
const LOOK_MS = 5_000;

interface Watched {
  readonly since: number;
  movedAt: number;
  readonly onIdle: () => void;
}

/** Something that comes in pieces. */
export interface Coming {
  moved(): void;
  /** All of it came, or nobody waits for it any more. Idempotent. */
  done(): void;
}

/** Looks after bodies whose end may never come. One timer for all, and none where there are none. */
export class IdleWatch {
  readonly #clock: Clock;
  readonly #watched = new Set<Watched>();
  #isLooking = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#watched.size;
  }

  /** `onIdle` runs at most once. */
  add(onIdle: () => void): Coming {
    const now = this.#clock.now();
    const watched: Watched = { since: now, movedAt: now, onIdle };
    this.#watched.add(watched);
    this.#look();
    return {
      moved: () => {
        watched.movedAt = this.#clock.now();
      },
      done: () => {
        this.#watched.delete(watched);
      },
    };
  }

  #look(): void {
    if (this.#isLooking || this.#watched.size === 0) return;
    this.#isLooking = true;
    this.#clock.after(LOOK_MS, () => {
      this.#isLooking = false;
      const now = this.#clock.now();
      for (const watched of [...this.#watched]) {
        if (now - watched.movedAt < LIMITS.idleMs && now - watched.since < LIMITS.wholeMs) continue;
        this.#watched.delete(watched);
        watched.onIdle();
      }
      this.#look();
    });
  }
}
