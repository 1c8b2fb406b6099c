import { chmod, mkdir, stat, unlink } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { formatHostPort } from '../../app/host-port.ts';

/** Where the gRPC server listens. Port 0 takes a free one. */
export type GrpcBind =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number };

/** The address in gRPC's own notation. */
export function grpcAddress(bind: GrpcBind): string {
  if (bind.kind === 'unix') return `unix:${bind.path}`;
  return formatHostPort(bind);
}

/** sockaddr_un holds 108 bytes with the closing NUL; past it the kernel's message helps nobody. */
const MAX_SOCKET_PATH_BYTES = 107;

/**
 * Makes way for a Unix socket: its folder exists, a file left by a dead process is removed. Throws where somebody
 * listens there or where the path holds anything but a socket.
 */
export async function claimSocket(path: string): Promise<void> {
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES)
    throw new Error(
      `the socket path ${path} is longer than ${MAX_SOCKET_PATH_BYTES} bytes; choose a shorter one`,
    );
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) return;
  if (!found.isSocket())
    throw new Error(`${path} exists and is not a socket; remove it or choose another path`);
  if (await somebodyListens(path))
    throw new Error(`another process listens on ${path}; stop it or choose another path`);
  await unlink(path).catch(() => undefined);
}

/** Only the owner may connect: whoever reaches this socket decides where requests go. */
export async function protectSocket(path: string): Promise<void> {
  await chmod(path, 0o600);
}

function somebodyListens(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
