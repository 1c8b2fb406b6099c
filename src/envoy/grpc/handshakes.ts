import type { Socket } from 'node:net';

/** How long a peer may take until its connection can be used. */
export const HANDSHAKE_MS = 10_000;

type Remote = Pick<Socket, 'remoteAddress' | 'remotePort'>;

/** Connections whose TLS handshake is not over: past a number of them the oldest is given up. */
export class Handshakes {
  readonly #max: number;
  readonly #sockets = new Map<string, Socket>();

  constructor(max: number) {
    this.#max = max;
  }

  begun(socket: Socket): void {
    const key = keyOf(socket);
    this.#sockets.set(key, socket);
    socket.once('close', () => {
      if (this.#sockets.get(key) === socket) this.#sockets.delete(key);
    });
    if (this.#sockets.size <= this.#max) return;
    const [oldest] = this.#sockets.values();
    oldest?.destroy();
  }

  /** `socket` is the encrypted one of the same peer. */
  done(socket: Remote): void {
    this.#sockets.delete(keyOf(socket));
  }
}

function keyOf({ remoteAddress, remotePort }: Remote): string {
  return `${remoteAddress} ${remotePort}`;
}
