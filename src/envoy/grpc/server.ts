import type { Log } from '../../app/log.ts';
import type { Clock } from '../../app/ports.ts';
import { claimSocket, type GrpcBind, grpcAddress, protectSocket } from './bind.ts';
import { HealthService } from './health.ts';
import { Http2Listener, type ListenerOptions } from './http2-listener.ts';
import { SelfSigned } from './self-signed.ts';
import { type GrpcService, methodsOf } from './service.ts';
import { type OnStranger, Strangers } from './strangers.ts';
import { renewTls } from './tls-renewal.ts';
import { TlsFiles, type TlsPair, type TlsSource } from './tls-source.ts';
import { UnreadBudget } from './unread-budget.ts';

/** How the gRPC address is encrypted: not at all, by a certificate of our own making kept in a folder, or by files. */
export type GrpcTls =
  | { readonly kind: 'off' }
  | { readonly kind: 'self-signed'; readonly folder: string }
  | { readonly kind: 'files'; readonly cert: string; readonly key: string };

export interface GrpcServerOptions {
  readonly bind: GrpcBind;
  readonly limits: {
    /** Largest request body that ext_proc may carry, bytes. */
    readonly bodyBytes: number;
  };
  readonly services: readonly GrpcService[];
  /** Of `bind` only; on a Unix socket there is none. Absent: off. */
  readonly tls?: GrpcTls;
  /** Takes calls of proxies that send the name of their cluster as `:authority`, as Istio does. Absent: HTTP/2's rules hold. */
  readonly anyAuthority?: boolean;
  /** Health alone, in plaintext, listens here as well. */
  readonly health?: GrpcBind | undefined;
  /** Told of connections to `bind` from which nothing can come; the log says the same. */
  readonly onStranger?: OnStranger;
  readonly clock: Clock;
  readonly log: Log;
}

export interface DrainOptions {
  /** How long to go on serving after health turned NOT_SERVING, so that Envoy moves its new requests elsewhere. */
  readonly delayMs: number;
  /** How long open streams may take after that, before they are cut. */
  readonly deadlineMs: number;
}

/** What a message holds beside the body: headers, metadata, framing. */
const MESSAGE_SLACK_BYTES = 1024 * 1024;
/** What peers together may be sent and leave unread, bytes: several of the largest bodies. */
const MAX_UNREAD_BYTES = 512 * 1024 * 1024;
/** After the last request ended, its access log entry is still under way. */
const LAST_ENTRIES_MS = 100;
/** A request for health. */
const MAX_HEALTH_BYTES = 4096;
const NOT_HEALTH =
  'a client speaks something else than plaintext HTTP/2 to the address of gRPC health; if that is TLS, turn it off there';
/** How long a closed stream may take to leave the socket. */
const STUCK_PEER_MS = 1_000;

/** The listening gRPC server. Health answers NOT_SERVING until `setReady(true)`. */
export class GrpcServer {
  /** Where it listens, in gRPC's notation, with the port that port 0 became. */
  readonly address: string;
  /** Undefined on a Unix socket. */
  readonly port: number | undefined;
  /** Where health alone listens; undefined: nowhere. */
  readonly healthAddress: string | undefined;
  readonly #parts: ServerParts;
  readonly #health: HealthService;
  readonly #options: GrpcServerOptions;
  #stopped: Promise<void> | undefined;

  constructor(parts: ServerParts, health: HealthService, options: GrpcServerOptions) {
    this.#parts = parts;
    this.#health = health;
    this.#options = options;
    this.port = parts.main.port;
    this.address = addressOf(options.bind, parts.main.port);
    this.healthAddress = options.health && addressOf(options.health, parts.health?.port);
  }

  get isReady(): boolean {
    return this.#health.isReady;
  }

  setReady(isReady: boolean): void {
    if (this.#stopped === undefined) this.#health.setReady(isReady);
  }

  /** Graceful stop; calling it again answers the same promise. Aborting `signal` cuts what is still open at once. */
  drain(options: DrainOptions, signal: AbortSignal): Promise<void> {
    this.#health.setReady(false);
    this.#stopped ??= this.#drain(options, signal);
    return this.#stopped;
  }

  /** Cuts everything at once. */
  async close(): Promise<void> {
    await this.drain({ delayMs: 0, deadlineMs: 0 }, AbortSignal.abort());
  }

  async #drain({ delayMs, deadlineMs }: DrainOptions, signal: AbortSignal): Promise<void> {
    const { clock, services, log } = this.#options;
    await clock.sleep(delayMs, signal);
    const { main, health, stopRenewing } = this.#parts;
    stopRenewing.abort();
    const finished = main.listener.close();
    const isSettled = await this.#settled(deadlineMs, signal);
    if (isSettled) await clock.sleep(LAST_ENTRIES_MS, signal);
    else log.warn({ deadlineMs }, 'streams still open at the end of the drain are cut');
    for (const service of [...services, this.#health]) service.close();
    // A peer that no longer reads must not keep us from stopping.
    const giveUp = new AbortController();
    await Promise.race([finished, clock.sleep(STUCK_PEER_MS, giveUp.signal)]);
    giveUp.abort();
    main.listener.destroy();
    // Last: until now it has told probes that we are alive, and not ready.
    void health?.listener.close();
    health?.listener.destroy();
  }

  /** False where requests are still under way at the deadline. */
  async #settled(deadlineMs: number, signal: AbortSignal): Promise<boolean> {
    const { clock, services } = this.#options;
    const requests = Promise.all(services.map((service) => service.settled?.())).then(() => true);
    const decided = new AbortController();
    const deadline = clock.sleep(deadlineMs, AbortSignal.any([signal, decided.signal])).then(() => false);
    const isSettled = await Promise.race([requests, deadline]);
    decided.abort();
    return isSettled;
  }
}

/** Starts listening. Throws with the remedy where the address is taken. */
export async function startGrpcServer(options: GrpcServerOptions): Promise<GrpcServer> {
  const { bind, services, limits, clock, log } = options;
  const health = new HealthService();
  const source = tlsSource(options);
  const pair = await source?.pair();
  const common = {
    clock,
    unread: new UnreadBudget(MAX_UNREAD_BYTES),
    onDefect: (error: unknown) => log.error({ err: error }, 'a gRPC call failed inside'),
  };
  const main = await listening([...services, health], bind, '--grpc', {
    ...common,
    maxMessageBytes: limits.bodyBytes + MESSAGE_SLACK_BYTES,
    tls: pair,
    anyAuthority: options.anyAuthority,
    strangers: new Strangers({ address: grpcAddress(bind), clock, log, onMet: options.onStranger }),
  });
  const healthBind = options.health;
  let ofHealth: Listening | undefined;
  try {
    ofHealth =
      healthBind &&
      (await listening([health], healthBind, '--health', {
        ...common,
        maxMessageBytes: MAX_HEALTH_BYTES,
        tls: undefined,
        strangers: new Strangers({
          address: grpcAddress(healthBind),
          remedy: NOT_HEALTH,
          clock,
          log,
        }),
      }));
  } catch (error) {
    void main.listener.close();
    throw error;
  }
  const stopRenewing = new AbortController();
  if (source !== undefined && pair !== undefined) {
    const use = (renewed: TlsPair): void => main.listener.useTls(renewed);
    void renewTls(pair, { source, clock, log, use }, stopRenewing.signal);
  }
  return new GrpcServer({ main, health: ofHealth, stopRenewing }, health, options);
}

interface Listening {
  readonly listener: Http2Listener;
  readonly port: number | undefined;
}
interface ServerParts {
  readonly main: Listening;
  readonly health: Listening | undefined;
  readonly stopRenewing: AbortController;
}

async function listening(
  services: readonly GrpcService[],
  bind: GrpcBind,
  flag: string,
  options: ListenerOptions,
): Promise<Listening> {
  const listener = new Http2Listener(methodsOf(services), options);
  if (bind.kind === 'unix') await claimSocket(bind.path);
  try {
    const port = await listener.listen(bind);
    if (bind.kind === 'unix') await protectSocket(bind.path);
    return { listener, port };
  } catch (error) {
    throw new Error(bindProblem(grpcAddress(bind), flag, error), { cause: error });
  }
}

function tlsSource({ tls, bind, clock }: GrpcServerOptions): TlsSource | undefined {
  if (tls === undefined || tls.kind === 'off' || bind.kind === 'unix') return undefined;
  return tls.kind === 'files'
    ? new TlsFiles(tls.cert, tls.key)
    : new SelfSigned(tls.folder, bind.host, clock);
}

function addressOf(bind: GrpcBind, port: number | undefined): string {
  return grpcAddress(bind.kind === 'tcp' ? { ...bind, port: port ?? bind.port } : bind);
}

function bindProblem(address: string, flag: string, error: unknown): string {
  const isTaken = error instanceof Error && 'code' in error && error.code === 'EADDRINUSE';
  if (isTaken)
    return `gRPC address ${address} is taken: stop what listens there, or give another with ${flag}`;
  return `cannot listen for gRPC on ${address}: ${error instanceof Error ? error.message : String(error)}`;
}
