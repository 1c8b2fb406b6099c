import { isDeepStrictEqual } from 'node:util';
import type { Listener } from '../app/destination.ts';
import { interfaceAddresses } from '../app/interface-addresses.ts';
import type { Clock, Random } from '../app/ports.ts';
import type { Config } from '../config/config.ts';
import type { NodeId, NodeSpec, Observation } from '../fleet/types.ts';
import { AbilityBook } from './ability-book.ts';
import { limitLookups } from './limit-lookups.ts';
import type { Lookup } from './resolver.ts';
import { systemLookup } from './system-lookup.ts';
import { NodeWatcher } from './watch-node.ts';

const LOOKUPS_AT_ONCE = 2;
/** First polls start at this distance on average, within one interval. */
const SPREAD_PER_NODE_MS = 2;
/** Watchers that are started together, and the pause before the next. */
const START_SLICE = 100;
const START_GAP_MS = 5;

export interface FleetWatcherOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly poll: Config['poll'];
  readonly onObservation: (node: NodeId, observation: Observation) => void;
  /** False for nodes that another replica polls; undefined: all are ours. */
  readonly isOurs?: (node: NodeId) => boolean;
  /** A defect of ours while this node was watched; watching goes on. */
  readonly onError?: (node: NodeId, error: unknown) => void;
  /** Whether nodes are asked what their models can do; by default they are. */
  readonly asksAbilities?: boolean;
  /** Addresses that we listen on: a name that leads to one of them is refused. */
  readonly listeners?: readonly Listener[];
  readonly lookup?: Lookup;
  readonly localIps?: readonly string[];
}

interface Watched {
  readonly spec: NodeSpec;
  readonly watcher: NodeWatcher;
  readonly stop: AbortController;
}

/** Watches every node of the fleet, and follows changes of the list. Starts with the first `update`. */
export class FleetWatcher {
  readonly #options: FleetWatcherOptions;
  readonly #lookup: Lookup;
  readonly #abilities: AbilityBook | undefined;
  readonly #watched = new Map<NodeId, Watched>();
  readonly #running = new Set<Promise<void>>();
  #poll: Config['poll'];
  #isClosed = false;
  /** Gives up the watchers that are still to be started. */
  #cancelStart: () => void = () => {};

  constructor(options: FleetWatcherOptions) {
    this.#options = options;
    this.#poll = options.poll;
    if (options.asksAbilities !== false)
      this.#abilities = new AbilityBook(options.clock, (error) => options.onError?.('', error));
    this.#lookup = limitLookups(options.lookup ?? systemLookup, LOOKUPS_AT_ONCE);
  }

  /** Nodes watched now. */
  get size(): number {
    return this.#watched.size;
  }

  /** Watches exactly these nodes from now on; those that are asked in the same way as before are not disturbed. */
  update(specs: readonly NodeSpec[], poll: Config['poll'] = this.#poll): void {
    if (this.#isClosed) return;
    const isSamePoll = isDeepStrictEqual(poll, this.#poll);
    this.#poll = poll;
    const wanted = new Map(specs.map((spec) => [spec.id, spec]));
    for (const [id, watched] of this.#watched) {
      const spec = wanted.get(id);
      if (spec !== undefined && isSamePoll && isAskedAlike(spec, watched.spec)) continue;
      watched.stop.abort();
      this.#watched.delete(id);
    }
    const added = [...wanted.values()].filter((spec) => !this.#watched.has(spec.id));
    const localIps = this.#options.localIps ?? interfaceAddresses();
    this.#cancelStart();
    this.#startSome(added, 0, localIps);
  }

  /** Asks a node for its tag list at once. Unknown nodes are ignored: it may just have left. */
  refreshTags(node: NodeId): void {
    this.#watched.get(node)?.watcher.refreshTags();
  }

  /** Begins (after `delayMs`) or ceases to ask a node. Unknown nodes are ignored. */
  setPolling(node: NodeId, isPolling: boolean, delayMs = 0): void {
    this.#watched.get(node)?.watcher.setPolling(isPolling, delayMs);
  }

  /** Stops watching; resolves when the last question is called off. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancelStart();
    for (const { stop } of this.#watched.values()) stop.abort();
    this.#watched.clear();
    await Promise.all(this.#running);
  }

  /** A large fleet is not begun with at once: each watcher costs a little, and thousands of them a pause. */
  #startSome(added: readonly NodeSpec[], from: number, localIps: readonly string[]): void {
    for (const spec of added.slice(from, from + START_SLICE)) this.#start(spec, localIps, added.length);
    const next = from + START_SLICE;
    if (next < added.length)
      this.#cancelStart = this.#options.clock.after(START_GAP_MS, () => {
        if (!this.#isClosed) this.#startSome(added, next, localIps);
      });
  }

  #start(spec: NodeSpec, localIps: readonly string[], starting: number): void {
    const { clock, random, onObservation, onError, listeners = [] } = this.#options;
    const stop = new AbortController();
    const watcher = new NodeWatcher(spec, {
      clock,
      random,
      poll: this.#poll,
      resolver: { lookup: this.#lookup, listeners, localIps },
      spreadMs: Math.min(this.#poll.interval, starting * SPREAD_PER_NODE_MS),
      abilities: this.#abilities,
      isPolling: this.#options.isOurs?.(spec.id) ?? true,
      // What a watcher that was stopped still hears is about a node that is gone or was replaced.
      onObservation: (observation) => {
        if (!stop.signal.aborted) onObservation(spec.id, observation);
      },
      onError: (error) => onError?.(spec.id, error),
    });
    this.#watched.set(spec.id, { spec, watcher, stop });
    const running = watcher.run(stop.signal).finally(() => this.#running.delete(running));
    this.#running.add(running);
  }
}

/** Labels, weights and the like change nothing of how a node is asked. */
function isAskedAlike(a: NodeSpec, b: NodeSpec): boolean {
  return isDeepStrictEqual(a.url, b.url) && a.token === b.token && a.tlsCaFile === b.tlsCaFile;
}
