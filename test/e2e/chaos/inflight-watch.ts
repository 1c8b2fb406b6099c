import { statusSchema } from '../../../src/api/status-schema.ts';
import type { SimulatedFleet } from '../../sim/fleet.ts';
import { send } from '../../support/http-client.ts';
import type { Replica, Replicas } from '../../support/replicas.ts';
import { pause } from '../../support/wait-for.ts';

const INTERVAL_MS = 250;

export interface InflightSample {
  readonly at: number;
  readonly replica: number;
  /** On the node where it is furthest off: what the replica counts too much, or (negative) too little. */
  readonly error: number;
  /** Lowest count of any node, as the replica told it. */
  readonly lowest: number;
}

/** Requests that the nodes run now, by node: the truth that every replica should know. */
export function truth(fleet: SimulatedFleet): ReadonlyMap<string, number> {
  return new Map(
    fleet.nodes.map(({ name, inferenceRequests }) => [
      name,
      inferenceRequests.filter(({ endedAt }) => endedAt === undefined).length,
    ]),
  );
}

/** Asks each replica again and again how much runs where, and compares it with what the nodes run. */
export class InflightWatch {
  readonly samples: InflightSample[] = [];
  readonly #fleet: SimulatedFleet;
  readonly #stop = new AbortController();
  readonly #ended: Promise<unknown>;

  constructor(set: Replicas, fleet: SimulatedFleet) {
    this.#fleet = fleet;
    this.#ended = Promise.all(set.replicas.map((replica) => this.#watch(replica)));
  }

  async stop(): Promise<readonly InflightSample[]> {
    this.#stop.abort();
    await this.#ended;
    return this.samples;
  }

  /** How far off the replica is now on its worst node; rejects where it does not answer. */
  async look(replica: Replica): Promise<InflightSample> {
    const before = truth(this.#fleet);
    const answer = await send(`${replica.adminUrl}/status`, { signal: AbortSignal.timeout(2_000) });
    const after = truth(this.#fleet);
    const { nodes } = statusSchema.parse(answer.json());
    // What began or ended while it answered is no error.
    const errors = nodes.map(({ name, inflight }) => {
      const [a = 0, b = 0] = [before.get(name), after.get(name)];
      return inflight > Math.max(a, b) ? inflight - Math.max(a, b) : Math.min(0, inflight - Math.min(a, b));
    });
    const error = errors.reduce((worst, each) => (Math.abs(each) > Math.abs(worst) ? each : worst), 0);
    const lowest = Math.min(...nodes.map(({ inflight }) => inflight));
    return { at: performance.now(), replica: replica.index, error, lowest };
  }

  async #watch(replica: Replica): Promise<void> {
    while (!this.#stop.signal.aborted) {
      // One that is dead or stopped says nothing.
      const seen = await this.look(replica).catch(() => undefined);
      if (seen !== undefined) this.samples.push(seen);
      await pause(INTERVAL_MS);
    }
  }
}

/** Figures of the errors, whichever way. */
export function worst(samples: readonly InflightSample[]): { tooMany: number; tooFew: number } {
  return {
    tooMany: Math.max(0, ...samples.map(({ error }) => error)),
    tooFew: Math.max(0, ...samples.map(({ error }) => -error)),
  };
}
