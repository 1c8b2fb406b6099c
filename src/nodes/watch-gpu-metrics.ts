import { isDeepStrictEqual } from 'node:util';
import type { Listener } from '../app/destination.ts';
import type { Log } from '../app/log.ts';
import type { Clock, Random } from '../app/ports.ts';
import type { FailureReason, GpuMetricsSpec, NodeId, NodeSpec, Observation } from '../fleet/types.ts';
import { GpuMetricsClient } from './gpu-metrics-client.ts';
import { limitLookups } from './limit-lookups.ts';
import { PollError } from './poll-error.ts';
import { runPoller } from './poller.ts';
import { type Lookup, Resolver } from './resolver.ts';
import { systemLookup } from './system-lookup.ts';

const JITTER = 0.1;
const RESOLVE_MS = 30_000;
const TIMEOUT_MS = 2_000;
/** An exporter of a machine with 16 GPUs says some 200 KiB. */
const MAX_BODY_BYTES = 4 * 2 ** 20;
const LOOKUPS_AT_ONCE = 2;

export interface GpuMetricsWatcherOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly onObservation: (node: NodeId, observation: Observation) => void;
  readonly onScrape?: (node: NodeId, result: 'ok' | FailureReason) => void;
  /** Whether this replica asks for the node; the others hear of it from the one that does. */
  readonly isOurs?: (node: NodeId) => boolean;
  /** Addresses that we listen on: a name that leads to one of them is refused. */
  readonly listeners?: readonly Listener[];
  readonly localIps?: readonly string[];
  readonly lookup?: Lookup;
}

interface Watched {
  readonly spec: GpuMetricsSpec;
  readonly stop: AbortController;
}

/** Asks the exporters that nodes name in their configuration, each at its own pace. Starts with the first `update`. */
export class GpuMetricsWatcher {
  readonly #options: GpuMetricsWatcherOptions;
  readonly #lookup: Lookup;
  readonly #watched = new Map<NodeId, Watched>();
  readonly #running = new Set<Promise<void>>();
  #isClosed = false;

  constructor(options: GpuMetricsWatcherOptions) {
    this.#options = options;
    this.#lookup = limitLookups(options.lookup ?? systemLookup, LOOKUPS_AT_ONCE);
  }

  /** Exporters watched now. */
  get size(): number {
    return this.#watched.size;
  }

  /** Watches the exporters of exactly these nodes from now on; those that stay as they were are not disturbed. */
  update(nodes: readonly NodeSpec[]): void {
    if (this.#isClosed) return;
    const wanted = new Map(nodes.flatMap(({ id, gpuMetrics }) => (gpuMetrics ? [[id, gpuMetrics]] : [])));
    for (const [id, { spec, stop }] of this.#watched) {
      if (isDeepStrictEqual(wanted.get(id), spec)) continue;
      stop.abort();
      this.#watched.delete(id);
    }
    for (const [id, spec] of wanted) {
      if (this.#watched.has(id)) continue;
      const stop = new AbortController();
      this.#watched.set(id, { spec, stop });
      const running = this.#watch(id, spec, stop.signal).finally(() => this.#running.delete(running));
      this.#running.add(running);
    }
  }

  /** Stops watching; resolves when the last question is called off. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const { stop } of this.#watched.values()) stop.abort();
    this.#watched.clear();
    await Promise.all(this.#running);
  }

  async #watch(node: NodeId, spec: GpuMetricsSpec, signal: AbortSignal): Promise<void> {
    const { clock, random, log, onObservation, onScrape, isOurs } = this.#options;
    const place = new Place(spec, this.#options, this.#lookup);
    let lastProblem: string | undefined;
    const tick = async (): Promise<void> => {
      if (isOurs?.(node) === false) return;
      try {
        const report = await place.scrape(signal);
        if (signal.aborted) return;
        if (lastProblem !== undefined) log.info({ node }, `the GPU metrics of ${node} are back`);
        lastProblem = undefined;
        onScrape?.(node, 'ok');
        onObservation(node, { kind: 'gpu', report });
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof PollError)) throw error;
        onScrape?.(node, error.reason);
        if (lastProblem !== error.message)
          log.warn(
            { node, reason: error.reason },
            `the GPU metrics of ${node} cannot be read: ${error.detail}`,
          );
        lastProblem = error.message;
      }
    };
    const onError = (error: unknown): void => log.error({ err: error, node }, 'reading GPU metrics failed');
    await runPoller(tick, { intervalMs: spec.intervalMs, jitter: JITTER, clock, random, onError }, signal);
    await place.close();
  }
}

/** Where one exporter is, by the rules for addresses that also hold for nodes. */
class Place {
  readonly #spec: GpuMetricsSpec;
  readonly #clock: Clock;
  readonly #resolver: Resolver;
  #client: GpuMetricsClient | undefined;
  #resolvedAt: number | undefined;

  constructor(spec: GpuMetricsSpec, options: GpuMetricsWatcherOptions, lookup: Lookup) {
    this.#spec = spec;
    this.#clock = options.clock;
    const { hostname, port, protocol } = new URL(spec.url);
    const host = hostname.replace(/^\[|\]$/g, '');
    this.#resolver = new Resolver(host, Number(port) || (protocol === 'https:' ? 443 : 80), {
      lookup,
      listeners: options.listeners ?? [],
      localIps: options.localIps ?? [],
    });
  }

  async scrape(signal: AbortSignal) {
    const now = this.#clock.now();
    if (this.#resolvedAt === undefined || now - this.#resolvedAt >= RESOLVE_MS) {
      try {
        await this.#resolver.refresh();
        this.#resolvedAt = now;
      } catch (error) {
        // The last good address stays while the name service fails.
        if (this.#resolver.current === undefined) throw error;
      }
    }
    return await (await this.#clientNow()).scrape(signal);
  }

  async close(): Promise<void> {
    await this.#client?.close();
  }

  async #clientNow(): Promise<GpuMetricsClient> {
    const ip = this.#resolver.current ?? '';
    if (this.#client?.address === ip) return this.#client;
    await this.#client?.close();
    this.#client = new GpuMetricsClient(this.#spec, ip, {
      timeoutMs: Math.min(TIMEOUT_MS, Math.max(250, this.#spec.intervalMs)),
      maxBodyBytes: MAX_BODY_BYTES,
      clock: this.#clock,
    });
    return this.#client;
  }
}
