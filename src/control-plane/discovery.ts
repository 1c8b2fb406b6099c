import { hostname } from 'node:os';
import { isDeepStrictEqual } from 'node:util';
import type { Listener } from '../app/destination.ts';
import { formatOrigin } from '../app/host-port.ts';
import { interfaceAddresses } from '../app/interface-addresses.ts';
import type { Log } from '../app/log.ts';
import type { Clock, Random } from '../app/ports.ts';
import { AGENT_KEY, Registry } from '../app/registry/node-registry.ts';
import type { NodeRegistryOptions, ProbeAnswer } from '../app/registry/registry-options.ts';
import type { Candidate } from '../app/registry/registry-types.ts';
import type { Config } from '../config/config.ts';
import { deriveNodeName, parseNodeUrl } from '../config/node-url.ts';
import { announceWarmpath } from '../discovery/announce-warmpath.ts';
import type { MdnsAddress } from '../discovery/mdns-socket.ts';
import type { DiscoverySource } from '../discovery/source.ts';
import { tlsKey, tlsKeys } from '../fleet/node-tls.ts';
import type { NodeId } from '../fleet/types.ts';
import { limitLookups } from '../nodes/limit-lookups.ts';
import { probeNode } from '../nodes/probe.ts';
import type { Lookup } from '../nodes/resolver.ts';
import { systemLookup } from '../nodes/system-lookup.ts';
import { createSource, type SourceConfig, type SourceContext } from './discovery-sources.ts';

const LOOKUPS_AT_ONCE = 2;
/** A source that failed by a defect of ours is started again after this long. */
const RESTART_MS = 10_000;

export interface DiscoveryOptions {
  readonly config: Config;
  readonly store: NodeRegistryOptions['store'];
  readonly replica: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Requests that run on the node, on any replica. */
  readonly hasRequests: (id: NodeId) => boolean;
  /** The node behind `ip:port`. */
  readonly nodeAt: (address: string) => NodeId | undefined;
  readonly lookup?: Lookup;
  readonly mdns?: MdnsAddress;
  readonly dnsServers?: readonly string[];
}

interface Running {
  readonly config: SourceConfig;
  readonly source: DiscoverySource;
  readonly stop: AbortController;
  readonly done: Promise<void>;
}

/** The registry of nodes and the sources that feed it. */
export class Discovery {
  readonly registry: Registry;
  #config: Config;
  /** CAs that our Envoy knows since its start. */
  readonly #knownTls: ReadonlySet<string>;
  readonly #options: DiscoveryOptions;
  readonly #running = new Map<string, Running>();
  readonly #ended = new Set<Promise<void>>();
  #signal: AbortSignal | undefined;
  #announcement: { readonly of: string; readonly stop: AbortController } | undefined;

  constructor(options: DiscoveryOptions) {
    const { config, store, replica, clock, log, hasRequests, nodeAt } = options;
    this.#options = options;
    this.#config = config;
    this.#knownTls = tlsKeys(config.nodes);
    const lookup = limitLookups(options.lookup ?? systemLookup, LOOKUPS_AT_ONCE);
    this.registry = new Registry(
      {
        store,
        replica,
        clock,
        log,
        hasRequests,
        nodeAt,
        policy: () => ({
          trust: this.#config.discovery.trust,
          maxNodes: this.#config.discovery.maxNodes,
          maxAgents: this.#config.agents.maxNodes,
        }),
        deriveName: deriveNodeName,
        parseUrl: (text) => {
          const result = parseNodeUrl(text);
          return 'url' in result ? result.url : undefined;
        },
        probe: (candidate, signal) => this.#probe(candidate, lookup, signal),
      },
      config.nodes,
    );
  }

  /** What the store knows; before `run`. Never rejects. */
  async load(): Promise<void> {
    await this.registry.load();
  }

  /** Finds nodes until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    this.#signal = signal;
    this.#follow();
    this.registry.keepSources(new Set(this.#running.keys()));
    await this.registry.run(signal);
    await Promise.all([...this.#running.values()].map(({ done }) => done));
    await Promise.all(this.#ended);
  }

  /** Takes a new configuration over: nodes, policy, sources. */
  reload(config: Config): void {
    this.#config = config;
    this.registry.configure(config.nodes);
    if (this.#signal !== undefined && !this.#signal.aborted) this.#follow();
  }

  /** Runs exactly the configured sources; those that are configured as before are not disturbed. */
  #follow(): void {
    const wanted = new Map<string, { readonly config: SourceConfig; readonly source: DiscoverySource }>();
    for (const config of this.#config.discovery.sources) {
      const source = createSource(config, this.#context());
      wanted.set(source.key, { config, source });
    }
    for (const [key, running] of this.#running) {
      const next = wanted.get(key);
      if (next !== undefined && isDeepStrictEqual(next.config, running.config)) continue;
      running.stop.abort();
      this.#end(running.done);
      this.#running.delete(key);
      if (next === undefined) this.registry.forget(key);
    }
    for (const [key, { config, source }] of wanted) if (!this.#running.has(key)) this.#start(config, source);
    this.#announce();
  }

  #start(config: SourceConfig, source: DiscoverySource): void {
    const { clock, log } = this.#options;
    const stop = new AbortController();
    const signal = this.#bound(stop);
    const report = (candidates: readonly Candidate[]): void => {
      if (!signal.aborted) this.registry.found(source.key, candidates);
    };
    const run = async (): Promise<void> => {
      while (!signal.aborted) {
        try {
          await source.run(report, signal);
        } catch (error) {
          log.error(
            { err: error, source: source.key },
            `discovery by ${source.key} failed; it is started again`,
          );
          await clock.sleep(RESTART_MS, signal);
        }
      }
    };
    this.#running.set(source.key, { config, source, stop, done: run() });
  }

  /** Where mDNS is used and agents may report, they find us by it. */
  #announce(): void {
    const { clock, mdns } = this.#options;
    const { agents, discovery } = this.#config;
    const isWanted = discovery.sources.some(({ kind }) => kind === 'mdns') && agents.listen !== undefined;
    const scheme = agents.tlsCert === undefined ? ('http' as const) : ('https' as const);
    const of = isWanted ? formatOrigin({ scheme, ...agents.listen }) : '';
    if (of === (this.#announcement?.of ?? '')) return;
    this.#announcement?.stop.abort();
    this.#announcement = undefined;
    if (!isWanted || agents.listen === undefined) return;
    const stop = new AbortController();
    this.#announcement = { of, stop };
    const address = mdns === undefined ? {} : { address: mdns };
    const options = { hostname: hostname(), port: agents.listen.port, scheme, clock, ...address };
    this.#end(announceWarmpath(options, this.#bound(stop)));
  }

  #end(done: Promise<void>): void {
    const ended: Promise<void> = done.finally(() => this.#ended.delete(ended));
    this.#ended.add(ended);
  }

  #bound(stop: AbortController): AbortSignal {
    return this.#signal === undefined ? stop.signal : AbortSignal.any([this.#signal, stop.signal]);
  }

  #context(): SourceContext {
    const { clock, random, log, env, mdns, dnsServers } = this.#options;
    return {
      clock,
      random,
      log,
      env,
      listeners: () => ownListeners(this.#config),
      localIps: interfaceAddresses,
      ...(mdns === undefined ? {} : { mdns }),
      ...(dnsServers === undefined ? {} : { dnsServers }),
    };
  }

  #probe(candidate: Candidate, lookup: Lookup, signal: AbortSignal): Promise<ProbeAnswer> {
    const { poll, agents, extProc } = this.#config;
    const { source, settings } = candidate;
    const tlsCaFile = settings?.tlsCaFile;
    // Which addresses other people's proxies trust is not ours to know.
    const key = extProc.profile === 'own' ? tlsKey({ url: candidate.url, tlsCaFile }) : tlsCaFile;
    if (key !== undefined && !this.#knownTls.has(key)) {
      const what = key === tlsCaFile ? `its tlsCa ${tlsCaFile}` : `this https address`;
      const problem = `Envoy was started without ${what}: list a node with it under "nodes" and start again`;
      return Promise.resolve({ problem });
    }
    const allowLoopback =
      source === 'localhost' || source === 'file' || (source === AGENT_KEY && agents.allowLoopback);
    return probeNode(
      candidate,
      { allowLoopback },
      {
        lookup,
        clock: this.#options.clock,
        timeoutMs: poll.timeout,
        connectTimeoutMs: poll.connectTimeout,
        listeners: () => ownListeners(this.#config),
        localIps: interfaceAddresses,
      },
      signal,
    );
  }
}

export function createDiscovery(options: DiscoveryOptions): Discovery {
  return new Discovery(options);
}

/** Every TCP address that leads back to us. */
export function ownListeners({ listen, admin, grpc, agents }: Config): Listener[] {
  const others = [grpc?.kind === 'tcp' ? grpc : undefined, agents.listen];
  return [listen, admin, ...others.filter((listener) => listener !== undefined)];
}
