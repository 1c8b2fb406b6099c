import { Fleet } from '../app/fleet.ts';
import { DEFAULT_HEALTH, type FleetParams } from '../fleet/params.ts';
import type { NodeId, NodeSpec } from '../fleet/types.ts';
import type { SimHost, SimNodeSpec } from './types.ts';

/** The defaults of the configuration's `poll`, ms. */
const INTERVAL_MS = 1_000;
const TAGS_INTERVAL_MS = 10_000;
const JITTER = 0.1;

export interface FeedOptions {
  /** The slots of all nodes are configured, whatever the scenario says. */
  readonly tellsSlots?: boolean;
  readonly health?: FleetParams;
}

/** The fleet as a control plane sees it: members by configuration, all else by polls. */
export class FleetFeed {
  readonly fleet: Fleet;
  readonly #host: SimHost;
  readonly #stops = new Map<NodeId, () => void>();
  readonly #tagsDueAt = new Map<NodeId, number>();

  readonly #tellsSlots: boolean;
  readonly #health: FleetParams;

  constructor(host: SimHost, { tellsSlots = false, health = DEFAULT_HEALTH }: FeedOptions = {}) {
    this.#host = host;
    this.#tellsSlots = tellsSlots;
    this.#health = health;
    this.fleet = new Fleet([], health, host.clock);
    this.membersChanged();
  }

  /** Follows the operator's list of nodes; whoever is new is asked at once. */
  membersChanged(): void {
    const members = this.#host.members();
    this.fleet.replaceNodes(
      members.map((member) => nodeSpec(member, this.#tellsSlots)),
      this.#health,
    );
    const ids = new Set(members.map(({ id }) => id));
    for (const [id, stop] of this.#stops) {
      if (ids.has(id)) continue;
      stop();
      this.#stops.delete(id);
      this.#tagsDueAt.delete(id);
    }
    for (const { id } of members) if (!this.#stops.has(id)) this.#watch(id);
  }

  /** The tag list is out of date. */
  refreshTags(node: NodeId): void {
    this.#tagsDueAt.set(node, this.#host.clock.now());
  }

  #watch(node: NodeId): void {
    const { clock, random } = this.#host;
    this.fleet.observe(node, { kind: 'address', address: addressOf(this.#host, node), hosts: [] });
    const again = (ms: number): void => {
      this.#stops.set(
        node,
        clock.after(ms, () => {
          this.#poll(node);
          again(INTERVAL_MS * (1 + JITTER * random()));
        }),
      );
    };
    this.#poll(node);
    again(INTERVAL_MS * random());
  }

  #poll(node: NodeId): void {
    const { clock, random } = this.#host;
    const answer = this.#host.poll(node);
    if (answer === undefined) {
      this.fleet.observe(node, { kind: 'poll_failed', reason: 'refused', detail: 'connection refused' });
      return;
    }
    const nodeTime = Math.floor(clock.date().getTime() / 1000);
    this.fleet.observe(node, { kind: 'resident', models: answer.resident, rttMs: answer.rttMs, nodeTime });
    if (clock.now() < (this.#tagsDueAt.get(node) ?? 0)) return;
    this.#tagsDueAt.set(node, clock.now() + TAGS_INTERVAL_MS * (1 + JITTER * random()));
    this.fleet.observe(node, { kind: 'tags', models: answer.tags, rttMs: answer.rttMs });
  }
}

/** As an operator would configure it: what is not told must be learnt. */
function nodeSpec(node: SimNodeSpec, tellsSlots: boolean): NodeSpec {
  return {
    id: node.id,
    url: { scheme: 'http', host: node.id, port: 11_434 },
    token: undefined,
    tlsCaFile: undefined,
    slots: tellsSlots || node.tellsSlots === true ? node.parallel : undefined,
    vramBytes: node.tellsVram ? node.vramBytes : undefined,
    labels: {},
    weight: 1,
    drain: false,
  };
}

function addressOf({ scenario }: SimHost, node: NodeId): string {
  const place = scenario.nodes.findIndex(({ id }) => id === node);
  return `10.${place >> 16}.${(place >> 8) & 255}.${place & 255}:11434`;
}
