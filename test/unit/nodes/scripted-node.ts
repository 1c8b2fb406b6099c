import { createServer as createHttpServer, type IncomingMessage, type RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import type { NodeSpec } from '../../../src/fleet/types.ts';
import { spec } from '../fleet/builders.ts';

/** A server of the test's own making on loopback. */
export interface ScriptedNode {
  readonly port: number;
  readonly requests: IncomingMessage[];
  /** Connections ever accepted. */
  readonly connections: () => number;
  close(): Promise<void>;
}

/** Answers HTTP by `handler`; with `tls`, over TLS. */
export function scriptedNode(
  handler: RequestListener,
  {
    tls,
    port = 0,
    host = '127.0.0.1',
  }: { tls?: { cert: string; key: string }; port?: number; host?: string } = {},
): Promise<ScriptedNode> {
  const requests: IncomingMessage[] = [];
  const listener: RequestListener = (request, response) => {
    requests.push(request);
    handler(request, response);
  };
  const server = tls === undefined ? createHttpServer(listener) : createTlsServer(tls, listener);
  return listen(server, requests, port, host);
}

/** Hands each raw connection to the test. */
export function rawNode(onSocket: (socket: Socket) => void): Promise<ScriptedNode> {
  return listen(createTcpServer(onSocket), [], 0, '127.0.0.1');
}

async function listen(
  server: Server,
  requests: IncomingMessage[],
  port: number,
  host: string,
): Promise<ScriptedNode> {
  const sockets = new Set<Socket>();
  let accepted = 0;
  server.on('connection', (socket: Socket) => {
    accepted += 1;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket)).on('error', () => {});
  });
  await new Promise<void>((resolve, reject) => {
    server.on('error', reject);
    server.listen(port, host, resolve);
  });
  return {
    // A listening TCP server has an address with a port.
    port: (server.address() as AddressInfo).port,
    requests,
    connections: () => accepted,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

export function nodeSpec(port: number, fields: Partial<NodeSpec> = {}): NodeSpec {
  return spec('n1', { url: { scheme: 'http', host: '127.0.0.1', port }, ...fields });
}

export const alpha = {
  name: 'alpha:latest',
  model: 'alpha:latest',
  size: 2_326_272,
  digest: '39ceef1e4fcecedeb97a0dfb2777dce20aa16bc9c328fbce6517022ae45916ab',
  details: {
    parent_model: '',
    format: 'gguf',
    family: 'llama',
    families: ['llama'],
    parameter_size: '146K',
    quantization_level: 'F16',
  },
  expires_at: '2026-11-21T08:55:37.491737928Z',
  size_vram: 0,
  context_length: 4096,
};
