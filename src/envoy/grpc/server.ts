import { logVerbosity, Server, ServerCredentials, setLogVerbosity } from '@grpc/grpc-js';
import type { Log } from '../../app/log.ts';
import type { Clock } from '../../app/ports.ts';
import { claimSocket, type GrpcBind, grpcAddress, protectSocket } from './bind.ts';
import { HealthService } from './health.ts';
import { raiseResetLimits } from './reset-limits.ts';
import type { GrpcService } from './service.ts';

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
/** Every request of every Envoy holds one stream until its answer's last byte. */
const MAX_CONCURRENT_STREAMS = 100_000;
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
  readonly #server: Server;
  readonly #health: HealthService;
  readonly #options: GrpcServerOptions;
  #stopped: Promise<void> | undefined;

  constructor(server: Server, health: HealthService, options: GrpcServerOptions, port: number) {
    const { bind } = options;
    this.#server = server;
    this.#health = health;
    this.#options = options;
    this.port = bind.kind === 'tcp' ? port : undefined;
    this.address = grpcAddress(bind.kind === 'tcp' ? { ...bind, port } : bind);
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
    const finished = new Promise<void>((resolve) => this.#server.tryShutdown(() => resolve()));
    const isSettled = await this.#settled(deadlineMs, signal);
    if (isSettled) await clock.sleep(LAST_ENTRIES_MS, signal);
    else log.warn({ deadlineMs }, 'streams still open at the end of the drain are cut');
    for (const service of [...services, this.#health]) service.close();
    // A peer that no longer reads must not keep us from stopping.
    const giveUp = new AbortController();
    await Promise.race([finished, clock.sleep(STUCK_PEER_MS, giveUp.signal)]);
    giveUp.abort();
    this.#server.forceShutdown();
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
  const { bind, services, limits } = options;
  // It would write to stderr what we throw or log ourselves.
  setLogVerbosity(logVerbosity.NONE);
  const maxMessageBytes = limits.bodyBytes + MESSAGE_SLACK_BYTES;
  const server = new Server({
    // The default of 4 MiB would let every larger body fail open, unrouted.
    'grpc.max_receive_message_length': maxMessageBytes,
    'grpc.max_send_message_length': maxMessageBytes,
    'grpc.max_concurrent_streams': MAX_CONCURRENT_STREAMS,
    'grpc.keepalive_time_ms': 30_000,
    'grpc.keepalive_timeout_ms': 10_000,
    // Counts and traces of every stream that nobody reads.
    'grpc.enable_channelz': 0,
  });
  raiseResetLimits(server);
  const health = new HealthService();
  for (const service of [...services, health]) server.addService(service.definition, service.implementation);
  if (bind.kind === 'unix') await claimSocket(bind.path);
  const port = await bindServer(server, bind);
  if (bind.kind === 'unix') await protectSocket(bind.path);
  return new GrpcServer(server, health, options, port);
}

function bindServer(server: Server, bind: GrpcBind): Promise<number> {
  const address = grpcAddress(bind);
  return new Promise((resolve, reject) => {
    server.bindAsync(address, ServerCredentials.createInsecure(), (error, port) => {
      if (error === null) resolve(port);
      else reject(new Error(bindProblem(address, error.message), { cause: error }));
    });
  });
}

/** grpc-js puts the reason into a sentence of its own. */
function bindProblem(address: string, reason: string): string {
  if (reason.includes('EADDRINUSE'))
    return `gRPC address ${address} is taken: stop what listens there, or give another with --grpc`;
  return `cannot listen for gRPC on ${address}: ${reason}`;
}
