import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { firstLine, joinSockets } from './socket-relay.ts';
import { type SpawnedProcess, type SpawnOptions, spawnProcess } from './spawn-process.ts';
import { type TempDir, tempDir } from './temp-dir.ts';

const INSIDE = fileURLToPath(new URL('./own-network-inside.ts', import.meta.url));
const IS_ROOT = process.getuid?.() === 0;
/** Whoever is not root is root of a world of their own. */
const UNSHARE = IS_ROOT ? ['-n'] : ['-r', '-n'];
const ENTER = IS_ROOT ? ['-n'] : ['-U', '--preserve-credentials', '-n'];
/** iproute2 may be missing; Python is there wherever we install Envoy. 0x8914 sets an interface's flags. */
const LOOPBACK_UP =
  '{ ip link set lo up 2>/dev/null || python3 -c "import fcntl, socket, struct; ' +
  "fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sh', b'lo', 0x49))\"; }";

/** Whether this machine lets us have one. */
export function canHaveOwnNetwork(): boolean {
  return spawnSync('unshare', [...UNSHARE, 'sh', '-c', LOOPBACK_UP], { stdio: 'ignore' }).status === 0;
}

/**
 * A network of its own, with nothing but loopback, for programs that listen on fixed ports of all addresses: they meet no other
 * program, and nobody meets them. Single ports lead in and out, through Unix sockets.
 */
export class OwnNetwork {
  readonly #dir: TempDir;
  readonly #inside: SpawnedProcess;
  readonly #servers: Server[] = [];
  readonly #sockets = new Set<Socket>();

  private constructor(dir: TempDir, inside: SpawnedProcess) {
    this.#dir = dir;
    this.#inside = inside;
  }

  static async open(): Promise<OwnNetwork> {
    const dir = tempDir('wp-net-');
    const args = [process.execPath, INSIDE, dir.path];
    const inside = spawnProcess('unshare', [
      ...[...UNSHARE, 'sh', '-c', `${LOOPBACK_UP} && exec "$0" "$@"`],
      ...args,
    ]);
    const network = new OwnNetwork(dir, inside);
    await network.#listen(join(dir.path, 'out'), async (socket) => {
      const { line, rest } = await firstLine(socket);
      network.#join(socket, connect({ port: Number(line), host: '127.0.0.1', allowHalfOpen: true }), rest);
    });
    await inside.waitForOutput(/ready/);
    return network;
  }

  /** Starts a program inside. */
  spawn(command: string, args: readonly string[], options?: SpawnOptions): SpawnedProcess {
    const enter = ['-t', String(this.#inside.pid), ...ENTER, '--'];
    return spawnProcess('nsenter', [...enter, command, ...args], options);
  }

  /** From now on 127.0.0.1:port inside is 127.0.0.1:port outside. */
  async lend(port: number): Promise<void> {
    await this.#tell(`lend ${port}`);
  }

  /** Connects to a port that was lent are refused again, and its connections broken off. */
  async withdraw(port: number): Promise<void> {
    await this.#tell(`withdraw ${port}`);
  }

  /** A port outside that leads to 127.0.0.1:port inside. */
  async reach(port: number): Promise<number> {
    const server = await this.#listen({ host: '127.0.0.1', port: 0 }, async (socket) => {
      const inner = connect({ path: join(this.#dir.path, 'in'), allowHalfOpen: true });
      inner.write(`connect ${port}\n`);
      this.#join(socket, inner);
    });
    return (server.address() as AddressInfo).port; // a TCP server's address is an object
  }

  async close(): Promise<void> {
    for (const server of this.#servers) server.close();
    for (const socket of this.#sockets) socket.destroy();
    await this.#inside.stop();
    this.#dir.remove();
  }

  async #tell(order: string): Promise<void> {
    const socket = connect(join(this.#dir.path, 'in'));
    socket.write(`${order}\n`);
    const { line } = await firstLine(socket);
    socket.destroy();
    if (line !== 'done') throw new Error(`${order}: ${line}`);
  }

  #join(outer: Socket, inner: Socket, first?: Buffer): void {
    for (const socket of [outer, inner]) {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    }
    joinSockets(outer, inner, first);
  }

  async #listen(
    where: string | { host: string; port: number },
    take: (socket: Socket) => Promise<void>,
  ): Promise<Server> {
    const server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
      take(socket).catch(() => socket.destroy());
    });
    server.listen(where);
    await once(server, 'listening');
    this.#servers.push(server);
    return server;
  }
}
