import {
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo } from 'node:net';
import type { GrpcBind } from './bind.ts';
import { type CallOptions, GrpcCall } from './call.ts';
import type { Method } from './service.ts';
import { STATUS } from './status.ts';

/** Every request of every Envoy holds one stream until its answer's last byte. */
const MAX_CONCURRENT_STREAMS = 100_000;
/** Envoy resets a stream for every hang-up and timeout; Node's default answers about 1,000 of them with GOAWAY. */
const RESETS = { streamResetBurst: 1_000_000, streamResetRate: 1_000_000 };
/** Of one stream and of a whole connection: what a peer may send before we have read it, bytes. */
const STREAM_WINDOW = 1024 * 1024;
const SESSION_WINDOW = 16 * 1024 * 1024;
/** Far beyond what the streams allowed here take, MB: other limits of ours bound them. */
const MAX_SESSION_MEMORY = 4096;
const MAX_CONNECTIONS = 1_024;
/** A peer that answers no ping within this time is gone. */
const PING_MS = 30_000;
const PONG_MS = 10_000;

/** gRPC over Node's own HTTP/2, cleartext: connections, and which method each stream calls. */
export class Http2Listener {
  readonly #server: Http2Server;
  readonly #sessions = new Set<ServerHttp2Session>();
  #onEmpty: (() => void)[] = [];

  constructor(methods: ReadonlyMap<string, Method>, options: CallOptions) {
    this.#server = createServer({
      ...RESETS,
      settings: { maxConcurrentStreams: MAX_CONCURRENT_STREAMS, initialWindowSize: STREAM_WINDOW },
      maxSessionMemory: MAX_SESSION_MEMORY,
    });
    this.#server.maxConnections = MAX_CONNECTIONS;
    this.#server.on('session', (session) => this.#connected(session));
    this.#server.on('stream', (stream, headers) => open(stream, headers, methods, options));
    // A connection that is no HTTP/2, or breaks: nothing of ours.
    this.#server.on('sessionError', () => undefined);
  }

  /** Answers the port, undefined on a Unix socket. Rejects where the address cannot be had. */
  listen(bind: GrpcBind): Promise<number | undefined> {
    const server = this.#server;
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      const listening = () => {
        server.off('error', reject);
        const address = server.address() as AddressInfo | string | null; // sound: it listens
        resolve(typeof address === 'object' ? address?.port : undefined);
      };
      if (bind.kind === 'unix') server.listen(bind.path, listening);
      else server.listen(bind.port, bind.host, listening);
    });
  }

  /** Takes no new connections and streams; resolves when those open have ended. */
  close(): Promise<void> {
    this.#server.close();
    for (const session of this.#sessions) session.close();
    if (this.#sessions.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onEmpty.push(resolve));
  }

  /** Cuts every connection. */
  destroy(): void {
    for (const session of this.#sessions) session.destroy();
  }

  #connected(session: ServerHttp2Session): void {
    this.#sessions.add(session);
    session.setLocalWindowSize(SESSION_WINDOW);
    const stopPinging = keepAlive(session);
    session.on('error', () => undefined); // `close` follows
    session.on('close', () => {
      stopPinging();
      this.#sessions.delete(session);
      if (this.#sessions.size > 0) return;
      for (const resolve of this.#onEmpty.splice(0)) resolve();
    });
  }
}

function open(
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  methods: ReadonlyMap<string, Method>,
  options: CallOptions,
): void {
  if (!isGrpc(headers)) {
    stream.on('error', () => undefined);
    stream.respond({ ':status': 415 }, { endStream: true });
    return;
  }
  const method = methods.get(headers[':path'] ?? '');
  if (method !== undefined) {
    method.handle(new GrpcCall(stream, method.definition, options));
    return;
  }
  stream.on('error', () => undefined);
  stream.respond(
    {
      ':status': 200,
      'content-type': 'application/grpc',
      'grpc-status': STATUS.unimplemented,
      'grpc-message': 'unknown method',
    },
    { endStream: true },
  );
}

function isGrpc(headers: IncomingHttpHeaders): boolean {
  return headers[':method'] === 'POST' && headers['content-type']?.startsWith('application/grpc') === true;
}

/** A peer whose machine vanished says nothing, ever: its connection and streams end here. */
function keepAlive(session: ServerHttp2Session): () => void {
  let late: NodeJS.Timeout | undefined;
  const timer = setInterval(() => {
    if (session.destroyed) return;
    late ??= setTimeout(() => session.destroy(), PONG_MS).unref();
    session.ping(() => {
      clearTimeout(late);
      late = undefined;
    });
  }, PING_MS).unref();
  return () => {
    clearInterval(timer);
    clearTimeout(late);
  };
}
