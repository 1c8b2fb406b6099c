import {
  createSecureServer,
  createServer,
  type Http2SecureServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import { type AddressInfo, Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../../app/ports.ts';
import { callerOf, takeAnyAuthority } from './authority/any-authority.ts';
import type { GrpcBind } from './bind.ts';
import { type CallOptions, GrpcCall } from './call.ts';
import { type Connection, leastUseful } from './connections.ts';
import { HANDSHAKE_MS, Handshakes } from './handshakes.ts';
import { keepAlive } from './keep-alive.ts';
import type { Method } from './service.ts';
import { STATUS } from './status.ts';
import type { Strangers } from './strangers.ts';
import type { TlsPair } from './tls-source.ts';

/** Of one connection. Every request of an Envoy holds one until its answer's last byte; past it Envoy opens another connection. */
const MAX_CONCURRENT_STREAMS = 20_000;
/** Envoy resets a stream for every hang-up and timeout; Node's default answers about 1,000 of them with GOAWAY. */
const RESETS = { streamResetBurst: 1_000_000, streamResetRate: 1_000_000 };
/** Of one stream and of a whole connection: what a peer may send before we have read it, bytes. */
const STREAM_WINDOW = 1024 * 1024;
const SESSION_WINDOW = 16 * 1024 * 1024;
/** Of one connection, MB: streams that are open and headers on their way. Bodies are bounded elsewhere, see UnreadBudget. */
const MAX_SESSION_MEMORY = 1024;
/** Settings and pings that one frame of a peer's may hold, and that may lie unanswered before its connection is cut. */
const FRAMES = { maxSettings: 32, maxOutstandingPings: 10, maxOutstandingSettings: 10 };
/** Headers of one call: number and bytes. Envoy's forwards no request's headers here, it sends them in messages. */
const HEADERS = { maxHeaderListPairs: 64 };
const MAX_HEADER_BYTES = 16 * 1024;
/** Past it, the least useful connection makes way: see `leastUseful`. */
const MAX_CONNECTIONS = 1_024;
/** Calls that say nothing are looked for so often, and so long after they were opened they end. */
const LOOK_MS = 10_000;
const UNHEARD_MS = 30_000;
const TLS = { minVersion: 'TLSv1.2', ALPNProtocols: ['h2'], handshakeTimeout: HANDSHAKE_MS } as const;

export interface ListenerOptions extends CallOptions {
  /** Undefined: plaintext. */
  readonly tls: TlsPair | undefined;
  readonly strangers: Strangers;
  readonly clock: Clock;
  /** Whether calls are taken whatever their `:authority` holds; every message then costs a little more. */
  readonly anyAuthority?: boolean | undefined;
  /** For tests. */
  readonly maxConnections?: number;
}

interface Peer extends Connection {
  readonly session: ServerHttp2Session;
}

/** gRPC over Node's own HTTP/2: connections, and which method each stream calls. */
export class Http2Listener {
  readonly #server: Http2Server | Http2SecureServer;
  readonly #options: ListenerOptions;
  readonly #methods: ReadonlyMap<string, Method>;
  readonly #peers = new Map<ServerHttp2Session, Peer>();
  readonly #calls = new Map<GrpcCall, number>();
  #stopLooking: () => void = () => undefined;
  #onEmpty: (() => void)[] = [];

  constructor(methods: ReadonlyMap<string, Method>, options: ListenerOptions) {
    this.#methods = methods;
    this.#options = options;
    const { tls, strangers } = options;
    const settings = {
      ...RESETS,
      ...FRAMES,
      ...HEADERS,
      settings: {
        maxConcurrentStreams: MAX_CONCURRENT_STREAMS,
        initialWindowSize: STREAM_WINDOW,
        maxHeaderListSize: MAX_HEADER_BYTES,
      },
      maxSessionMemory: MAX_SESSION_MEMORY,
    };
    if (tls === undefined) this.#server = createServer(settings);
    else {
      const server = createSecureServer({ ...settings, ...TLS, ...tls });
      const handshakes = new Handshakes(options.maxConnections ?? MAX_CONNECTIONS);
      server.on('connection', (socket: Socket) => handshakes.begun(socket));
      server.on('secureConnection', (socket) => handshakes.done(socket));
      server.on('tlsClientError', (error, socket) => strangers.handshakeFailed(error, peerOf(socket)));
      server.on('unknownProtocol', (socket) => {
        const peer = 'remoteAddress' in socket ? socket.remoteAddress : undefined;
        strangers.met('connection_without_alpn', typeof peer === 'string' ? peer : undefined);
        socket.destroy();
      });
      this.#server = server;
    }
    if (options.anyAuthority === true) takeAnyAuthority(this.#server);
    this.#server.on('session', (session) => this.#connected(session));
    this.#server.on('stream', (stream, headers) => this.#opened(stream, headers));
    // A connection that is no HTTP/2, or breaks: nothing of ours, see #connected.
    this.#server.on('sessionError', () => undefined);
    this.#look();
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

  /** Handshakes use this certificate from now on. */
  useTls(pair: TlsPair): void {
    if ('setSecureContext' in this.#server) this.#server.setSecureContext({ ...TLS, ...pair });
  }

  /** Takes no new connections and streams; resolves when those open have ended. */
  close(): Promise<void> {
    this.#stopLooking();
    this.#server.close();
    for (const session of this.#peers.keys()) session.close();
    if (this.#peers.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onEmpty.push(resolve));
  }

  /** Cuts every connection. */
  destroy(): void {
    for (const session of this.#peers.keys()) session.destroy();
  }

  #connected(session: ServerHttp2Session): void {
    const { clock } = this.#options;
    const caller = callerOf(session);
    const peer: Peer = {
      session,
      address: caller.remoteAddress ?? '',
      isGreeted: false,
      streams: 0,
      usedAt: clock.now(),
    };
    this.#peers.set(session, peer);
    session.setLocalWindowSize(SESSION_WINDOW);
    const greeted = clock.after(HANDSHAKE_MS, () => this.#giveUp(peer));
    session.once('remoteSettings', () => {
      peer.isGreeted = true;
      greeted();
    });
    const stopPinging = keepAlive(session);
    // `close` follows.
    session.on('error', (error) => this.#options.strangers.sessionFailed(error, caller));
    session.on('close', () => {
      greeted();
      stopPinging();
      this.#peers.delete(session);
      if (this.#peers.size > 0) return;
      for (const resolve of this.#onEmpty.splice(0)) resolve();
    });
    if (this.#peers.size > (this.#options.maxConnections ?? MAX_CONNECTIONS))
      this.#giveUp(leastUseful(this.#peers.values(), peer));
  }

  /** It counts no longer, though its `close` is still to come. */
  #giveUp(peer: Peer | undefined): void {
    if (peer === undefined) return;
    this.#peers.delete(peer.session);
    peer.session.destroy();
  }

  #opened(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    const { session } = stream;
    const peer = session === undefined ? undefined : this.#peers.get(session as ServerHttp2Session); // sound: we are the server
    const now = this.#options.clock.now();
    if (peer !== undefined) {
      peer.streams += 1;
      peer.usedAt = now;
    }
    const call = callOf(stream, headers, this.#methods, this.#options);
    if (call !== undefined) this.#calls.set(call, now);
    stream.on('close', () => {
      if (peer !== undefined) peer.streams -= 1;
      if (call !== undefined) this.#calls.delete(call);
    });
  }

  #look(): void {
    const { clock } = this.#options;
    this.#stopLooking = clock.after(LOOK_MS, () => {
      const before = clock.now() - UNHEARD_MS;
      for (const [call, openedAt] of this.#calls) if (openedAt <= before) call.endUnheard();
      this.#look();
    });
  }
}

/** Where a TLS connection comes from, or came from. */
function peerOf(socket: TLSSocket): string | undefined {
  // Sound: only read. A client that has hung up is known to the socket beneath alone, which was asked when it came.
  const { _parent: beneath } = socket as { readonly _parent?: unknown };
  return socket.remoteAddress ?? (beneath instanceof Socket ? beneath.remoteAddress : undefined);
}

/** Undefined where it is no call of ours; that is answered then. */
function callOf(
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  methods: ReadonlyMap<string, Method>,
  options: CallOptions,
): GrpcCall | undefined {
  if (!isGrpc(headers)) {
    stream.on('error', () => undefined);
    stream.respond({ ':status': 415 }, { endStream: true });
    return undefined;
  }
  const method = methods.get(headers[':path'] ?? '');
  if (method !== undefined) {
    const call = new GrpcCall(stream, method.definition, options);
    method.handle(call);
    return call;
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
  return undefined;
}

function isGrpc(headers: IncomingHttpHeaders): boolean {
  return headers[':method'] === 'POST' && headers['content-type']?.startsWith('application/grpc') === true;
}
