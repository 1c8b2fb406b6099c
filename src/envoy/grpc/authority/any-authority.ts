import type { Http2SecureServer, Http2Server, ServerHttp2Session } from 'node:http2';
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import type { Caller } from '../strangers.ts';
import { ClientFrames } from './frames.ts';

/** How long a new connection may take to say something before it is read by us. */
const FIRST_BYTES_MS = 50;
/** The first byte of a TLS handshake; HTTP/2 begins with a letter. */
const TLS_HANDSHAKE = 0x16;

/**
 * Makes an HTTP/2 server take calls whatever their `:authority`. Envoy sends the name of its cluster where nobody says
 * otherwise, and Istio names it `outbound|9002||warmpath.ns.svc.cluster.local`; Node's HTTP/2 ends such a stream before
 * anybody sees it, and has no setting for that. Connections whose first call needs nothing of it are Node's own as before.
 */
export function takeAnyAuthority(server: Http2Server | Http2SecureServer): void {
  const event = 'setSecureContext' in server ? 'secureConnection' : 'connection';
  // Node's own, which is there from the start; those that are added later get the socket itself.
  const accept = server.listeners(event)[0] as ((this: unknown, socket: Duplex) => void) | undefined;
  if (accept === undefined) throw new Error(`Node's HTTP/2 server does not listen to "${event}" any more`);
  server.off(event, accept);
  server.prependListener(event, (socket: Socket | TLSSocket) =>
    whenHeard(socket, (first) => {
      const frames = new ClientFrames();
      const mended = frames.take(Buffer.from(first));
      const isFine = frames.blocks > 0 && mended.equals(first.subarray(0, mended.length));
      if (isFine) socket.unshift(first);
      accept.call(server, isFine ? socket : new MendedSocket(socket, frames, first, mended));
    }),
  );
}

/** Calls `accept` with the first bytes, or with none where they do not come soon: there are limits for those who say nothing. */
function whenHeard(socket: Socket, accept: (first: Buffer) => void): void {
  const heard = (first: Buffer): void => {
    clearTimeout(timer);
    socket.off('data', heard).off('error', failed).off('close', failed);
    socket.pause();
    accept(first);
  };
  const failed = (): void => {
    clearTimeout(timer);
    socket.off('data', heard);
  };
  const timer = setTimeout(() => heard(Buffer.alloc(0)), FIRST_BYTES_MS);
  socket.on('data', heard).on('error', failed).on('close', failed);
}

/** Who is at the other end, as far as that is known by now. */
export function callerOf({ socket }: ServerHttp2Session): Caller {
  // Sound: only read. What Node makes of a stream that is no socket holds it as `stream`, and has no address itself.
  const { stream } = socket as { readonly stream?: unknown };
  const { remoteAddress } = socket;
  return stream instanceof MendedSocket ? stream : { remoteAddress, beganAsTls: false };
}

/** A connection as HTTP/2 may read it: what comes is mended, what goes passes as it is. */
class MendedSocket extends Duplex implements Caller {
  /** As TLS agreed on; HTTP/2 refuses what is not `h2`. */
  readonly alpnProtocol: string | false | null | undefined;
  readonly remoteAddress: string | undefined;
  readonly #socket: Socket;
  /** Undefined before it has come. */
  #firstByte: number | undefined;

  /** `first`: what has come; `mended`: by `frames`. */
  constructor(socket: Socket | TLSSocket, frames: ClientFrames, first: Buffer, mended: Buffer) {
    super();
    this.#socket = socket;
    this.alpnProtocol = 'alpnProtocol' in socket ? socket.alpnProtocol : undefined;
    this.remoteAddress = socket.remoteAddress;
    this.#firstByte = first[0];
    socket.setNoDelay(true);
    if (mended.length > 0) this.push(mended);
    socket.on('data', (piece: Buffer) => {
      this.#firstByte ??= piece[0];
      const ready = frames.take(piece);
      if (ready.length > 0 && !this.push(ready)) socket.pause();
    });
    socket.on('end', () => this.push(null));
    socket.on('error', (error) => this.destroy(error));
    socket.on('close', () => this.destroy());
  }

  get beganAsTls(): boolean {
    return this.alpnProtocol === undefined && this.#firstByte === TLS_HANDSHAKE;
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(piece: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#socket.write(piece, done);
  }

  override _writev(pieces: readonly { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this.#socket.cork();
    for (const [i, { chunk }] of pieces.entries())
      this.#socket.write(chunk, i === pieces.length - 1 ? done : undefined);
    this.#socket.uncork();
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#socket.end(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }
}
