import { connect, type Socket } from 'node:net';
import { Worker } from 'node:worker_threads';

/** Runs in a thread of its own: it listens, and then its event loop stands still, so that nothing is ever accepted. */
const LISTENER = `
const { workerData, parentPort } = require('node:worker_threads');
const server = require('node:net').createServer();
server.once('error', (error) => { throw error; });
server.listen({ ...workerData.listen, backlog: 1 }, () => {
  parentPort.postMessage('listening');
  Atomics.wait(workerData.gate, 0, 0);
  process.exit();
});`;

/** Connections that a backlog of 1 may hold on Linux, and some to spare: further connects hang in SYN_SENT. */
const FILLERS = 8;
const SETTLE_MS = 50;

/** Occupies a port so that connecting to it neither succeeds nor fails. The result frees the port. */
export async function fillBacklog(host: string, port: number): Promise<() => Promise<void>> {
  const gate = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(LISTENER, { eval: true, workerData: { gate, listen: { host, port } } });
  await new Promise<void>((resolve, reject) => {
    worker.once('message', () => resolve());
    worker.once('error', reject);
  });
  const fillers: Socket[] = [];
  for (let count = 0; count < FILLERS; count++) {
    const socket = connect({ host, port });
    socket.on('error', () => {}); // the reset when the listener goes is expected
    fillers.push(socket);
  }
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  return async () => {
    for (const socket of fillers) socket.destroy();
    const exited = new Promise((resolve) => worker.once('exit', resolve));
    Atomics.store(gate, 0, 1);
    Atomics.notify(gate, 0);
    await exited;
  };
}
