import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { fillBacklog } from '../../src/demo/full-backlog.ts';

/** What happens to the bytes from the server to the client. Unset fields change nothing. */
export interface ProxyFault {
  /** Added to each piece, both ways. */
  readonly latencyMs?: number;
  readonly bytesPerSecond?: number;
  /** Once so many bytes of the answers have passed on one connection. 0: as soon as the client sends anything. */
  readonly breakAfterBytes?: number;
  readonly breakBy?: 'rst' | 'fin' | 'stall';
  /** Sent to the client instead of anything from the server. */
  readonly garbage?: string | Buffer;
}

/** A TCP proxy on loopback that does harm to what passes through it. */
export class FaultProxy {
  readonly #target: { readonly host: string; readonly port: number };
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  #port = 0;
  #fault: ProxyFault = {};
  #emptyBacklog: (() => Promise<void>) | undefined;
  #accepted = 0;

  constructor(target: string) {
    const { hostname, port } = new URL(target);
    this.#target = { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port) };
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  /** Connections ever accepted. */
  get accepted(): number {
    return this.#accepted;
  }

  /** Holds for pieces from now on, on open connections too. */
  set fault(fault: ProxyFault) {
    this.#fault = fault;
  }

  async open(): Promise<void> {
    await this.#emptyBacklog?.();
    this.#emptyBacklog = undefined;
    if (this.#server !== undefined) return;
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => this.#join(client));
    server.listen(this.#port, '127.0.0.1');
    await once(server, 'listening');
    this.#port = (server.address() as AddressInfo).port; // a TCP server's address is an object
    this.#server = server;
  }

  /** Connects are refused; open connections are cut. */
  refuse(): void {
    this.#server?.close();
    this.#server = undefined;
    this.cut();
  }

  /** Connects neither succeed nor fail. */
  async neverAccept(): Promise<void> {
    this.refuse();
    this.#emptyBacklog ??= await fillBacklog('127.0.0.1', this.#port);
  }

  /** Ends every open connection at once. */
  cut(how: 'rst' | 'fin' = 'rst'): void {
    for (const socket of this.#sockets) how === 'rst' ? socket.resetAndDestroy() : socket.destroy();
  }

  async close(): Promise<void> {
    this.refuse();
    await this.#emptyBacklog?.();
    this.#emptyBacklog = undefined;
  }

  #join(client: Socket): void {
    this.#accepted++;
    const server = connect({ ...this.#target, allowHalfOpen: true, noDelay: true });
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(socket);
      socket.on('error', () => other.resetAndDestroy());
      socket.on('close', () => {
        this.#sockets.delete(socket);
        if (!other.destroyed) other.destroySoon();
      });
    }
    void this.#pump(client, server, false);
    void this.#pump(server, client, true);
  }

  async #pump(from: Socket, to: Socket, isAnswer: boolean): Promise<void> {
    let passed = 0;
    try {
      // Leaving the loop must not close `from`: a stalled connection stays open.
      for await (const piece of from.iterator({ destroyOnReturn: false })) {
        const fault = this.#fault;
        if (fault.latencyMs !== undefined) await pause(fault.latencyMs);
        if (fault.garbage !== undefined) {
          (isAnswer ? to : from).end(fault.garbage);
          return;
        }
        if (!isAnswer && fault.breakAfterBytes === 0) {
          this.#break(from, fault.breakBy ?? 'rst');
          return;
        }
        const left = isAnswer ? (fault.breakAfterBytes ?? Number.POSITIVE_INFINITY) - passed : piece.length;
        const bytes = piece.subarray(0, Math.max(0, left));
        await this.#forward(bytes, to, isAnswer ? fault.bytesPerSecond : undefined);
        passed += bytes.length;
        if (isAnswer && passed >= (fault.breakAfterBytes ?? Number.POSITIVE_INFINITY)) {
          this.#break(to, fault.breakBy ?? 'rst');
          return;
        }
      }
      to.end();
    } catch {
      to.destroy();
    }
  }

  async #forward(bytes: Buffer, to: Socket, bytesPerSecond: number | undefined): Promise<void> {
    if (bytesPerSecond === undefined) {
      if (!to.write(bytes)) await Promise.race([once(to, 'drain'), once(to, 'close')]);
      return;
    }
    const step = Math.max(1, Math.ceil(bytesPerSecond / 50));
    for (let at = 0; at < bytes.length && !to.destroyed; at += step) {
      to.write(bytes.subarray(at, at + step));
      await pause((Math.min(step, bytes.length - at) / bytesPerSecond) * 1000);
    }
  }

  /** `client` is the side that sees the break. A stall leaves it open, silent, for ever. */
  #break(client: Socket, how: 'rst' | 'fin' | 'stall'): void {
    if (how === 'fin') client.end(() => client.destroy());
    // The bytes sent before must arrive before the reset that would overtake them.
    if (how === 'rst') setTimeout(() => client.resetAndDestroy(), 5);
  }
}

export async function startFaultProxy(target: string): Promise<FaultProxy> {
  const proxy = new FaultProxy(target);
  await proxy.open();
  return proxy;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
