import type { Log } from '../../app/log.ts';
import type { Clock } from '../../app/ports.ts';
import { claimSocket, type GrpcBind, grpcAddress, protectSocket } from './bind.ts';
import { HealthService } from './health.ts';
import { Http2Listener } from './http2-listener.ts';
import { type GrpcService, methodsOf } from './service.ts';

export interface GrpcServerOptions {
  readonly bind: GrpcBind;
  readonly limits: {
    /** Largest request body that ext_proc may carry, bytes. */
    readonly bodyBytes: number;
  };
  readonly services: readonly GrpcService[];
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
/** After the last request ended, its access log entry is still under way. */
const LAST_ENTRIES_MS = 100;
/** How long a closed stream may take to leave the socket. */
const STUCK_PEER_MS = 1_000;

/** The listening gRPC server. Health answers NOT_SERVING until `setReady(true)`. */
export class GrpcServer {
  /** Where it listens, in gRPC's notation, with the port that port 0 became. */
  readonly address: string;
  /** Undefined on a Unix socket. */
  readonly port: number | undefined;
  readonly #listener: Http2Listener;
  readonly #health: HealthService;
  readonly #options: GrpcServerOptions;
  #stopped: Promise<void> | undefined;

  constructor(
    listener: Http2Listener,
    health: HealthService,
    options: GrpcServerOptions,
    port: number | undefined,
  ) {
    const { bind } = options;
    this.#listener = listener;
    this.#health = health;
    this.#options = options;
    this.port = port;
    this.address = grpcAddress(bind.kind === 'tcp' ? { ...bind, port: port ?? bind.port } : bind);
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
    const finished = this.#listener.close();
    const isSettled = await this.#settled(deadlineMs, signal);
    if (isSettled) await clock.sleep(LAST_ENTRIES_MS, signal);
    else log.warn({ deadlineMs }, 'streams still open at the end of the drain are cut');
    for (const service of [...services, this.#health]) service.close();
    // A peer that no longer reads must not keep us from stopping.
    const giveUp = new AbortController();
    await Promise.race([finished, clock.sleep(STUCK_PEER_MS, giveUp.signal)]);
    giveUp.abort();
    this.#listener.destroy();
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
  const { bind, services, limits, log } = options;
  const health = new HealthService();
  const listener = new Http2Listener(methodsOf([...services, health]), {
    maxMessageBytes: limits.bodyBytes + MESSAGE_SLACK_BYTES,
    onDefect: (error) => log.error({ err: error }, 'a gRPC call failed inside'),
  });
  if (bind.kind === 'unix') await claimSocket(bind.path);
  let port: number | undefined;
  try {
    port = await listener.listen(bind);
  } catch (error) {
    throw new Error(bindProblem(grpcAddress(bind), error), { cause: error });
  }
  if (bind.kind === 'unix') await protectSocket(bind.path);
  return new GrpcServer(listener, health, options, port);
}

function bindProblem(address: string, error: unknown): string {
  const isTaken = error instanceof Error && 'code' in error && error.code === 'EADDRINUSE';
  if (isTaken)
    return `gRPC address ${address} is taken: stop what listens there, or give another with --grpc`;
  return `cannot listen for gRPC on ${address}: ${error instanceof Error ? error.message : String(error)}`;
}
