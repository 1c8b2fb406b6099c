import { createAgentServer, readAgentTls } from '../api/agent-server.ts';
import { AgentFleet } from '../app/agents/agent-fleet.ts';
import { AgentIntake } from '../app/agents/agent-intake.ts';
import { formatHostPort, formatOrigin } from '../app/host-port.ts';
import { interfaceAddresses } from '../app/interface-addresses.ts';
import type { Log } from '../app/log.ts';
import type { Clock, Random } from '../app/ports.ts';
import type { NodeRegistry } from '../app/registry/registry-types.ts';
import type { GpuTelemetry } from '../app/telemetry-port.ts';
import type { Config } from '../config/config.ts';
import { parseNodeUrl } from '../config/node-url.ts';
import type { Drain, DrainCause, NodeId, NodeRecord, NodeSpec, Observation } from '../fleet/types.ts';
import { limitLookups } from '../nodes/limit-lookups.ts';
import type { Lookup } from '../nodes/resolver.ts';
import { systemLookup } from '../nodes/system-lookup.ts';
import { GpuMetricsWatcher } from '../nodes/watch-gpu-metrics.ts';
import type { Store } from '../store/contract.ts';
import { ownListeners } from './discovery.ts';

const LOOKUPS_AT_ONCE = 4;
const LOOKUP_MS = 3_000;
/** Each agent keeps one connection; more are taken for those that restart. */
const MIN_CONNECTIONS = 256;

export interface AgentsDependencies {
  /** The configuration of this moment. */
  readonly config: () => Config;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly store: Pick<Store, 'isShared' | 'claimOnce'>;
  readonly registry: Pick<NodeRegistry, 'get' | 'list' | 'join'>;
  readonly drains: { set(node: NodeId, cause: DrainCause, drain: Drain | undefined): void };
  /** Something was told of a node: all replicas hear of it. */
  readonly observe: (node: NodeId, observation: Observation) => void;
  readonly record: (node: NodeId) => NodeRecord | undefined;
  readonly isOurs: (node: NodeId) => boolean;
  readonly telemetry: GpuTelemetry;
  readonly lookup?: Lookup;
}

/** Everything that tells of GPUs: agents that report to us, exporters that we ask. */
export interface Agents {
  /** Where agents report to, once it listens; undefined: nowhere. */
  readonly address: { readonly host: string; readonly port: number } | undefined;
  /** Listens for agents where that is configured. Throws with the remedy where it cannot. */
  start(): Promise<void>;
  /** Asks the exporters of exactly these nodes from now on. */
  update(nodes: readonly NodeSpec[]): void;
  /** Notices agents that fall silent; until `signal` aborts. */
  run(signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

export function createAgents(deps: AgentsDependencies): Agents {
  const { config, clock, random, log, registry, store, telemetry, observe } = deps;
  const fleet = new AgentFleet({ observe, record: deps.record, drains: deps.drains, clock, log });
  const watcher = new GpuMetricsWatcher({
    clock,
    random,
    log,
    onObservation: observe,
    onScrape: (node, result) => telemetry.gpuMetricsScraped(node, result),
    isOurs: deps.isOurs,
    listeners: ownListeners(config()),
    localIps: interfaceAddresses(),
    ...(deps.lookup === undefined ? {} : { lookup: deps.lookup }),
  });
  const lookup = limitLookups(within(deps.lookup ?? systemLookup, LOOKUP_MS, clock), LOOKUPS_AT_ONCE);
  let server: ReturnType<typeof createAgentServer> | undefined;

  const start = async (): Promise<void> => {
    const { agents } = config();
    const { listen, joinToken, allowLoopback, maxNodes } = agents;
    if (listen === undefined || joinToken === undefined) return;
    const intake = new AgentIntake({
      joinToken,
      maxNodes: () => config().agents.maxNodes,
      address: {
        lookup,
        allowLoopback,
        listeners: ownListeners(config()),
        localIps: interfaceAddresses,
      },
      parseUrl: parseNodeUrl,
      registry,
      store,
      fleet,
      telemetry,
      clock,
      log,
    });
    const tls = await readAgentTls(agents);
    server = createAgentServer({
      intake,
      tls,
      maxConnections: Math.max(MIN_CONNECTIONS, 2 * maxNodes),
      onError: (error) => log.error({ err: error }, 'a request of an agent failed'),
    });
    try {
      await server.listen({ host: listen.host, port: listen.port });
    } catch (error) {
      throw listenError(error, listen);
    }
    const scheme = tls === undefined ? 'http' : 'https';
    const shown = formatOrigin({ scheme, ...(addressOf(server) ?? listen) });
    log.info({ listen: shown }, `agents report to ${shown}`);
  };

  return {
    get address() {
      return server && addressOf(server);
    },
    start,
    update: (nodes) => watcher.update(nodes),
    run: (signal) => fleet.run(signal),
    close: async () => {
      await server?.close();
      await watcher.close();
    },
  };
}

function addressOf(server: ReturnType<typeof createAgentServer>): Agents['address'] {
  const address = server.server.address();
  return typeof address === 'object' && address !== null
    ? { host: address.address, port: address.port }
    : undefined;
}

function listenError(error: unknown, listen: { readonly host: string; readonly port: number }): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code !== 'EADDRINUSE' && code !== 'EADDRNOTAVAIL' && code !== 'EACCES') return error;
  const why = code === 'EADDRINUSE' ? 'is taken' : 'cannot be listened on here';
  return new Error(
    `the agents' address ${formatHostPort(listen)} ${why}: set "agents.listen" to another one`,
    { cause: error },
  );
}

/** A name service that hangs must not hold the requests of agents. */
function within(lookup: Lookup, limitMs: number, clock: Clock): Lookup {
  return (host) =>
    new Promise((resolve, reject) => {
      const cancel = clock.after(limitMs, () => reject(new Error('the name service does not answer')));
      lookup(host).then(resolve, reject).finally(cancel);
    });
}
