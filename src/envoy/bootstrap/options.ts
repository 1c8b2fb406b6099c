/** Where a socket is: a path, or an address and port (IPv6 without brackets). */
export type SocketTarget =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number };

/** One way of talking TLS to nodes. An endpoint names the one that it wants (`EnvoyEndpoint.transport`). */
export interface TlsTransport {
  readonly name: string;
  /** PEM file with the CA that must have signed the node's certificate. */
  readonly caFile: string;
  /** IP address that the certificate must have; undefined: the name that Envoy knows the node by. */
  readonly address?: string | undefined;
}

/** All that decides what our own Envoy does. Durations in ms, sizes in bytes. */
export interface BootstrapOptions {
  /** IP literal (IPv6 without brackets) and port that clients use. */
  readonly listen: { readonly host: string; readonly port: number };
  /** The control plane: ext_proc, EDS, access log and health over gRPC. */
  readonly grpc: SocketTarget;
  /** Further control planes that share their state with ours: asked when ours is not healthy. */
  readonly replicas?: readonly SocketTarget[];
  /** Envoy's own admin interface. It shows nodes' tokens: a Unix socket, or loopback. */
  readonly admin: SocketTarget;
  /** File-EDS with the last known nodes; must exist when Envoy starts. */
  readonly lastKnownFile: string;
  readonly tls: readonly TlsTransport[];
  /** Further origins whose pages may call us: `http://host[:port]`, `*` inside as a wildcard, or `*` for any. */
  readonly origins: readonly string[];
  /** Names of this machine that count as local when we listen on loopback only. */
  readonly hostnames: readonly string[];
  /** Whether `x-warmpath-*` headers are put on answers. */
  readonly exposeHeaders: boolean;
  /** Whether the control plane sees clients' keys: only where it knows some. */
  readonly forwardAuthorization?: boolean;
  readonly limits: Limits;
  readonly timeouts: Timeouts;
}

export interface Limits {
  /** Largest request body. */
  readonly bodyBytes: number;
  /** Client connections at once; further ones are closed at once. */
  readonly connections: number;
  /** Envoy refuses new requests (503) near this much heap; undefined: no limit. */
  readonly heapBytes: number | undefined;
  /** Tries for a request that the control plane did not route, the first included. */
  readonly attempts: number;
}

export interface Timeouts {
  /** From a connection's first byte to the end of the request headers. */
  readonly requestHeaders: number;
  /** From the first byte to the end of the body: long enough for the largest body over a slow network. */
  readonly request: number;
  /** Silence in both directions; longer than any request waits and any model takes to load and to begin its answer. */
  readonly streamIdle: number;
  /** First byte of an answer to a request that the control plane did not route. */
  readonly failOpenFirstByte: number;
  /** TCP connection to a node. */
  readonly connect: number;
  /** One answer of the control plane to one message. */
  readonly decision: number;
  /** The longest that the control plane may ask Envoy to wait instead (its line). */
  readonly decisionMax: number;
}

export const DEFAULT_LIMITS: Limits = {
  bodyBytes: 64 * 1024 * 1024,
  connections: 20_000,
  heapBytes: undefined,
  attempts: 3,
};

export const DEFAULT_TIMEOUTS: Timeouts = {
  requestHeaders: 10_000,
  request: 300_000,
  streamIdle: 900_000,
  failOpenFirstByte: 300_000,
  connect: 750,
  // Shorter ones leave hundreds of requests unrouted when thousands arrive at once; a hung control plane is
  // bounded by its health check instead.
  decision: 2_000,
  decisionMax: 600_000,
};
