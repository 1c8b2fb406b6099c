import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { firstLine, joinSockets } from './socket-relay.ts';

/** The half of an OwnNetwork that runs inside of it: `node own-network-inside.ts FOLDER`. */

const folder = process.argv[2] ?? '';
const lent = new Map<number, { readonly server: Server; readonly sockets: Set<Socket> }>();

createServer({ allowHalfOpen: true }, (socket) => {
  take(socket).catch(() => socket.destroy());
}).listen(join(folder, 'in'), () => console.log('ready'));
process.once('SIGTERM', () => process.exit(0));

/** `connect PORT` joins the connection to one of ours, the other orders are answered with `done`. */
async function take(socket: Socket): Promise<void> {
  const { line, rest } = await firstLine(socket);
  const [order, text] = line.split(' ');
  const port = Number(text);
  if (order === 'connect') {
    joinSockets(socket, connect({ port, host: '127.0.0.1', allowHalfOpen: true }), rest);
    return;
  }
  try {
    await (order === 'lend' ? lend(port) : withdraw(port));
    socket.end('done\n');
  } catch (error) {
    socket.end(`${String(error)}\n`);
  }
}

function lend(port: number): Promise<void> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    const outside = connect({ path: join(folder, 'out'), allowHalfOpen: true });
    outside.write(`${port}\n`);
    joinSockets(socket, outside);
  });
  lent.set(port, { server, sockets });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
}

function withdraw(port: number): Promise<void> {
  const { server, sockets } = lent.get(port) ?? {};
  lent.delete(port);
  return new Promise((resolve) => {
    if (server === undefined) resolve();
    else server.close(() => resolve());
    for (const socket of sockets ?? []) socket.destroy();
  });
}
