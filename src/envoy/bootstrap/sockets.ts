import type { Message } from './message.ts';
import type { SocketTarget } from './options.ts';

/** Envoy's `core.v3.Address` for a socket. */
export function address(target: SocketTarget): Message {
  return target.kind === 'unix'
    ? { pipe: { path: target.path } }
    : { socket_address: { address: target.host, port_value: target.port } };
}

/** Whether only this machine can reach a listener on `host`. */
export function isLoopback(host: string): boolean {
  return host === '::1' || host === 'localhost' || host.startsWith('127.');
}
