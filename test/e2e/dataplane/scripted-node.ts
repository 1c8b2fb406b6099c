import { once } from 'node:events';
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';

/** A request as a node received it. */
export interface Received {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly rawHeaders: readonly string[];
  readonly body: Buffer;
}

export type Script = (request: Received, response: ServerResponse, raw: IncomingMessage) => void;

/** An upstream that does what the test says and remembers what it was asked. */
export class ScriptedNode {
  readonly received: Received[] = [];
  readonly #server: Server;
  script: Script;

  constructor(script: Script = answerOk) {
    this.script = script;
    this.#server = createServer((request, response) => {
      const parts: Buffer[] = [];
      request.on('data', (part: Buffer) => parts.push(part));
      request.on('end', () => {
        const seen = {
          method: request.method ?? '',
          path: request.url ?? '',
          headers: request.headers,
          rawHeaders: request.rawHeaders,
          body: Buffer.concat(parts),
        };
        this.received.push(seen);
        this.script(seen, response, request);
      });
      request.on('error', () => {}); // the test broke it off on purpose
    });
  }

  async start(port = 0): Promise<number> {
    this.#server.listen(port, '127.0.0.1');
    await once(this.#server, 'listening');
    return this.port;
  }

  get port(): number {
    const { port } = this.#server.address() as AddressInfo; // a TCP server's address is never a string
    return port;
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
  }
}

export function answerOk(_request: Received, response: ServerResponse): void {
  response.setHeader('content-type', 'application/json; charset=utf-8');
  response.end('{"ok":true}');
}
