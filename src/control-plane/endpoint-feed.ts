import type { Alarms } from '../app/alarms.ts';
import type { Fleet } from '../app/fleet.ts';
import type { Clock } from '../app/ports.ts';
import { EndpointPlanner } from '../envoy/endpoints/endpoint-set.ts';
import type { EndpointPublisher } from '../envoy/endpoints/publisher.ts';

/** Changes that come together become one push. */
const COALESCE_MS = 5;
/** A push costs us and Envoy about as much as there are endpoints: a thousand of them rest for 100 ms after each. */
const REST_PER_ENDPOINT_MS = 0.1;

/** Shows Envoy what changes of the fleet: soon after a quiet time, and at most so often that it has other things to do. */
export class EndpointFeed {
  readonly #fleet: Fleet;
  readonly #publisher: EndpointPublisher;
  readonly #alarms: Alarms;
  readonly #clock: Clock;
  readonly #planner = new EndpointPlanner();
  #restUntil = Number.NEGATIVE_INFINITY;
  #isScheduled = false;
  #isSettled = false;

  constructor(fleet: Fleet, publisher: EndpointPublisher, alarms: Alarms, clock: Clock) {
    this.#fleet = fleet;
    this.#publisher = publisher;
    this.#alarms = alarms;
    this.#clock = clock;
  }

  start(): void {
    this.#fleet.onEndpointChange(() => this.#schedule());
    this.#publisher.onRejected(() => this.#schedule());
    this.publish();
  }

  /** The first round of polls is over: a node without an address is one by now. */
  settled(): void {
    this.#isSettled = true;
    this.publish();
  }

  publish(): void {
    // Names are still being resolved: what Envoy has is better than a part of it.
    if (!this.#isSettled && this.#isUnresolved()) return;
    const { nodes } = this.#fleet;
    const { set, conflicts } = this.#planner.plan(nodes.values(), this.#fleet.snapshot());
    const result = this.#publisher.publish(set, nodes);
    this.#restUntil = this.#clock.now() + set.endpoints.length * REST_PER_ENDPOINT_MS;
    this.#report(
      'shrink_guard',
      result === 'held'
        ? 'most nodes have lost their address at once; Envoy keeps the last known ones. Check name resolution.'
        : undefined,
    );
    const [clash] = conflicts;
    this.#report(
      'address_clash',
      clash === undefined
        ? undefined
        : `node ${clash.node} has the same address as ${clash.keeper} (${clash.address}) and is left out; remove one of them`,
    );
    const rejection = this.#publisher.lastRejection;
    this.#report(
      'endpoints_rejected',
      rejection && `Envoy refused the endpoints and keeps those it had: ${rejection}`,
    );
  }

  #isUnresolved(): boolean {
    for (const { address } of this.#fleet.nodes.values()) if (address === undefined) return true;
    return false;
  }

  #report(code: 'shrink_guard' | 'address_clash' | 'endpoints_rejected', message: string | undefined): void {
    if (message === undefined) this.#alarms.clear(code);
    else this.#alarms.raise(code, message);
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#clock.after(Math.max(COALESCE_MS, this.#restUntil - this.#clock.now()), () => {
      this.#isScheduled = false;
      this.publish();
    });
  }
}
