import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { fillBacklog } from './full-backlog.ts';

/** The HTTP server of a simulated node: it can stop listening, stop accepting and die, and come back on its port. */
export class Listener {
  readonly #host: string;
  readonly #handle: (request: IncomingMessage, response: ServerResponse) => void;
  readonly #sockets = new Set<Socket>();
  #port: number;
  #server: Server | undefined;
  #emptyBacklog: (() => Promise<void>) | undefined;

  constructor(
    host: string,
    port: number,
    handle: (request: IncomingMessage, response: ServerResponse) => void,
  ) {
    this.#host = host;
    this.#port = port;
    this.#handle = handle;
  }

  get host(): string {
    return this.#host;
  }

  /** 0 until first opened; the same ever after. */
  get port(): number {
    return this.#port;
  }

  get connections(): number {
    return this.#sockets.size;
  }

  async open(): Promise<void> {
    await this.#emptyBacklog?.();
    this.#emptyBacklog = undefined;
    if (this.#server !== undefined) return;
    const server = createServer({ keepAlive: false, noDelay: true, requestTimeout: 0 }, this.#handle);
    // Go's server, as Ollama sets it up, waits for requests without limit.
    server.headersTimeout = 0;
    server.keepAliveTimeout = 0;
    server.on('connection', (socket) => this.#remember(socket));
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host: this.#host, port: this.#port, backlog: 4096 }, () => {
        server.off('error', reject);
        resolve();
      });
    });
    // A TCP server's address is an object.
    this.#port = (server.address() as AddressInfo).port;
  }

  /** Connects are refused from now on; idle connections are closed, running requests go on. */
  refuse(): void {
    this.#server?.close();
    this.#server?.closeIdleConnections();
    this.#server = undefined;
  }

  /** Connects hang from now on. */
  async neverAccept(): Promise<void> {
    this.kill();
    this.#emptyBacklog ??= await fillBacklog(this.#host, this.#port);
  }

  /** Everything ends at once, as when the process is killed. */
  kill(how: 'fin' | 'rst' = 'fin'): void {
    this.refuse();
    for (const socket of this.#sockets) {
      if (how === 'rst') socket.resetAndDestroy();
      else socket.destroy();
    }
  }

  async close(): Promise<void> {
    this.kill();
    await this.#emptyBacklog?.();
    this.#emptyBacklog = undefined;
  }

  #remember(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => {}); // a peer that resets is everyday here
  }
}
