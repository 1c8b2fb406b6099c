import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from '../../support/free-port.ts';

/** A gateway as others configure it: its ext_proc filter, and how its cluster reads our answers. */
export interface Gateway {
  readonly name: string;
  /** Port of the ext_proc server on loopback. */
  readonly service: number;
  /** Fields of the ext_proc filter beside the service. */
  readonly extProc: object;
  /** Filters that come before it. */
  readonly before?: readonly object[];
  /** Where the destination is read. */
  readonly destination: 'metadata' | 'header' | 'original_dst';
  /** `numRetries` of the route; 0: no policy. */
  readonly retries: number;
  /** Of a request's body. */
  readonly bufferBytes?: number;
  /** Where not all nodes are its own: their ports. */
  readonly nodePorts?: readonly number[];
}

const TYPE = 'type.googleapis.com/envoy.extensions';
const KEY = 'x-gateway-destination-endpoint';
const LB = 'envoy.lb';

/** One real Envoy with a listener for each gateway, in front of the same nodes. */
export class GatewayEnvoy {
  readonly #ports: ReadonlyMap<string, number>;
  readonly #child: ChildProcess;
  readonly #adminPort: number;
  readonly #log: { text: string };

  private constructor(
    ports: ReadonlyMap<string, number>,
    child: ChildProcess,
    adminPort: number,
    log: { text: string },
  ) {
    this.#ports = ports;
    this.#child = child;
    this.#adminPort = adminPort;
    this.#log = log;
  }

  static async start(
    binary: string,
    dir: string,
    gateways: readonly Gateway[],
    nodePorts: readonly number[],
  ): Promise<GatewayEnvoy> {
    const ports = new Map<string, number>();
    const taken = new Set<number>();
    const portOfOwn = async (): Promise<number> => {
      const port = await freePort();
      if (taken.has(port)) return portOfOwn();
      taken.add(port);
      return port;
    };
    for (const { name } of gateways) ports.set(name, await portOfOwn());
    const adminPort = await portOfOwn();
    const config = join(dir, 'gateways.json');
    await writeFile(config, JSON.stringify(bootstrap(gateways, ports, nodePorts, adminPort)));
    const args = ['-c', config, '--concurrency', '1', '--disable-hot-restart', '-l', 'warning'];
    const child = spawn(binary, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    const log = { text: '' };
    child.stderr?.on('data', (text: Buffer) => {
      log.text += text.toString();
    });
    const envoy = new GatewayEnvoy(ports, child, adminPort, log);
    for (let tries = 0; tries < 200 && child.exitCode === null; tries++) {
      const state = await envoy.admin('/ready').catch(() => '');
      if (state.startsWith('LIVE')) return envoy;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await envoy.stop();
    throw new Error(`Envoy did not become ready:\n${log.text}`);
  }

  get log(): string {
    return this.#log.text;
  }

  url(gateway: string): string {
    const port = this.#ports.get(gateway);
    if (port === undefined) throw new Error(`no gateway ${gateway}`);
    return `http://127.0.0.1:${port}`;
  }

  async admin(path: string): Promise<string> {
    return (await fetch(`http://127.0.0.1:${this.#adminPort}${path}`)).text();
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  async stop(): Promise<void> {
    if (!this.isRunning) return;
    this.#child.kill('SIGKILL');
    await once(this.#child, 'exit');
  }
}

function bootstrap(
  gateways: readonly Gateway[],
  ports: ReadonlyMap<string, number>,
  nodePorts: readonly number[],
  adminPort: number,
): object {
  const runtime = { 'envoy.reloadable_features.ext_proc_graceful_grpc_close': true };
  return {
    admin: { address: address(adminPort) },
    layered_runtime: { layers: [{ name: 'static', static_layer: runtime }] },
    static_resources: {
      listeners: gateways.map((gateway) => listener(gateway, ports.get(gateway.name) ?? 0)),
      clusters: gateways.flatMap((gateway) => [
        nodes(gateway, gateway.nodePorts ?? nodePorts),
        extProcCluster(gateway),
      ]),
    },
  };
}

function listener(
  { name, extProc, retries, bufferBytes = 64 * 1024 * 1024, before = [] }: Gateway,
  port: number,
): object {
  const retry_policy = { retry_on: 'connect-failure,reset,retriable-status-codes,5xx', num_retries: retries };
  const route = { cluster: `${name}-nodes`, timeout: '0s', ...(retries === 0 ? {} : { retry_policy }) };
  return {
    name,
    address: address(port),
    per_connection_buffer_limit_bytes: bufferBytes,
    filter_chains: [
      {
        filters: [
          {
            name: 'hcm',
            typed_config: {
              '@type': `${TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
              stat_prefix: name,
              codec_type: 'AUTO',
              route_config: {
                virtual_hosts: [{ name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route }] }],
              },
              http_filters: [
                ...before,
                {
                  name: 'ext_proc',
                  typed_config: {
                    '@type': `${TYPE}.filters.http.ext_proc.v3.ExternalProcessor`,
                    grpc_service: { envoy_grpc: { cluster_name: `${name}-ext-proc` }, timeout: '10s' },
                    ...extProc,
                  },
                },
                { name: 'router', typed_config: { '@type': `${TYPE}.filters.http.router.v3.Router` } },
              ],
            },
          },
        ],
      },
    ],
  };
}

function nodes({ name, destination }: Gateway, nodePorts: readonly number[]): object {
  const cluster = { name: `${name}-nodes`, connect_timeout: '1s' };
  if (destination === 'original_dst')
    return {
      ...cluster,
      type: 'ORIGINAL_DST',
      lb_policy: 'CLUSTER_PROVIDED',
      original_dst_lb_config: { use_http_header: true, http_header_name: KEY },
    };
  const key = { key: LB, path: [{ key: KEY }] };
  return {
    ...cluster,
    type: 'STATIC',
    load_assignment: {
      cluster_name: `${name}-nodes`,
      endpoints: [{ lb_endpoints: nodePorts.map((port) => ({ endpoint: { address: address(port) } })) }],
    },
    load_balancing_policy: {
      policies: [
        {
          typed_extension_config: {
            name: 'override',
            typed_config: {
              '@type': `${TYPE}.load_balancing_policies.override_host.v3.OverrideHost`,
              override_host_sources: [destination === 'metadata' ? { metadata: key } : { header: KEY }],
              selected_host_key: { key: LB, path: [{ key: `${KEY}-served` }] },
              fallback_policy: {
                policies: [
                  {
                    typed_extension_config: {
                      name: 'round-robin',
                      typed_config: { '@type': `${TYPE}.load_balancing_policies.round_robin.v3.RoundRobin` },
                    },
                  },
                ],
              },
            },
          },
        },
      ],
    },
  };
}

function extProcCluster({ name, service }: Gateway): object {
  return {
    name: `${name}-ext-proc`,
    type: 'STATIC',
    connect_timeout: '1s',
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        '@type': `${TYPE}.upstreams.http.v3.HttpProtocolOptions`,
        explicit_http_config: { http2_protocol_options: {} },
      },
    },
    load_assignment: {
      cluster_name: `${name}-ext-proc`,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: address(service) } }] }],
    },
  };
}

function address(port: number): object {
  return { socket_address: { address: '127.0.0.1', port_value: port } };
}

const UNTYPED_LB = { untyped: [LB] };
/** What the Endpoint Picker Protocol asks for. */
const DUPLEX = {
  request_header_mode: 'SEND',
  response_header_mode: 'SEND',
  request_body_mode: 'FULL_DUPLEX_STREAMED',
  response_body_mode: 'FULL_DUPLEX_STREAMED',
  request_trailer_mode: 'SEND',
  response_trailer_mode: 'SEND',
};

/** The filters as each gateway writes them. */
export const FILTERS = {
  /** Istio, for an InferencePool. */
  istio: {
    failure_mode_allow: true,
    message_timeout: '1000s',
    processing_mode: DUPLEX,
    metadata_options: { forwarding_namespaces: UNTYPED_LB, receiving_namespaces: UNTYPED_LB },
  },
  /** Envoy AI Gateway. */
  aiGateway: {
    failure_mode_allow: false,
    message_timeout: '300s',
    processing_mode: DUPLEX,
  },
  /** Envoy Gateway with `processingMode.request.body: Buffered` and `allowModeOverride`. */
  envoyGateway: {
    failure_mode_allow: true,
    allow_mode_override: true,
    message_timeout: '2s',
    processing_mode: {
      request_header_mode: 'SEND',
      response_header_mode: 'SEND',
      request_body_mode: 'BUFFERED',
      response_body_mode: 'NONE',
      request_trailer_mode: 'SKIP',
      response_trailer_mode: 'SKIP',
    },
    metadata_options: { receiving_namespaces: UNTYPED_LB },
  },
} as const;
