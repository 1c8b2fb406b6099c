import { type ClientHttp2Session, connect } from 'node:http2';
import { Call } from './call.ts';

export interface Address {
  readonly host: string;
  readonly port: number;
  readonly isTls: boolean;
}

/** Of a whole connection, bytes: as roomy as a proxy's, so that only a paused stream ever waits. */
const SESSION_WINDOW = 16 * 1024 * 1024;
const STREAM_WINDOW = 1024 * 1024;
const CONNECT_MS = 5_000;

/** One HTTP/2 connection. Certificates are not checked, as gateways do not check a picker's. */
export class Connection {
  readonly #session: ClientHttp2Session;
  #goAways = 0;

  constructor(session: ClientHttp2Session) {
    this.#session = session;
    session.setLocalWindowSize(SESSION_WINDOW);
    session.on('goaway', () => {
      this.#goAways += 1;
    });
    session.on('error', () => undefined); // each call hears of its own end
  }

  /** How often the peer has asked for a new connection. */
  get goAways(): number {
    return this.#goAways;
  }

  get isOpen(): boolean {
    return !this.#session.closed && !this.#session.destroyed;
  }

  call(path: string): Call {
    const stream = this.#session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    return new Call(stream);
  }

  /** Cuts the connection without a word, as a crash does. */
  cut(): void {
    this.#session.socket?.destroy();
    this.#session.destroy();
  }
}

/** Rejects where nothing answers or what answers speaks no HTTP/2. */
export function openConnection(address: Address): Promise<Connection> {
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  const scheme = address.isTls ? 'https' : 'http';
  return new Promise((resolve, reject) => {
    const session = connect(`${scheme}://${host}:${address.port}`, {
      rejectUnauthorized: false,
      settings: { initialWindowSize: STREAM_WINDOW, enablePush: false },
    });
    const fail = (reason: unknown): void => {
      clearTimeout(timer);
      session.destroy();
      reject(reason);
    };
    const timer = setTimeout(() => fail(new Error(`no HTTP/2 within ${CONNECT_MS} ms`)), CONNECT_MS);
    session.once('error', fail);
    // The peer's settings prove that it speaks HTTP/2; a TCP connection alone does not.
    session.once('remoteSettings', () => {
      clearTimeout(timer);
      session.off('error', fail);
      resolve(new Connection(session));
    });
    session.once('close', () => fail(new Error('the connection was closed before any HTTP/2')));
  });
}
