import { connect, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls, TLSSocket } from 'node:tls';

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
export const FRAME = {
  data: 0,
  headers: 1,
  rst: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  continuation: 9,
} as const;

/** One HTTP/2 frame, well formed or not. */
export function frame(
  type: number,
  flags: number,
  stream: number,
  payload: Uint8Array = Buffer.alloc(0),
): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** A header block without compression. */
export function headerBlock(headers: readonly (readonly [name: string, value: string])[]): Buffer {
  return Buffer.concat(headers.flatMap(([name, value]) => [Buffer.from([0]), literal(name), literal(value)]));
}

function literal(text: string): Buffer {
  const bytes = Buffer.from(text);
  if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes]);
  const length: number[] = [127];
  let rest = bytes.length - 127;
  for (; rest >= 128; rest = Math.floor(rest / 128)) length.push((rest % 128) + 128);
  return Buffer.concat([Buffer.from([...length, rest]), bytes]);
}

export const CALL_HEADERS = [
  [':method', 'POST'],
  [':scheme', 'http'],
  [':path', '/grpc.health.v1.Health/Check'],
  [':authority', 'x'],
  ['content-type', 'application/grpc'],
  ['te', 'trailers'],
] as const;

/** A peer that says what it likes, byte by byte. */
export class RawPeer {
  readonly socket: Socket;
  readonly received: Buffer[] = [];
  readonly closed: Promise<void>;
  isClosed = false;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (bytes: Buffer) => this.received.push(bytes));
    socket.on('error', () => undefined);
    this.closed = new Promise((resolve) =>
      socket.on('close', () => {
        this.isClosed = true;
        resolve();
      }),
    );
  }

  static open(port: number): Promise<RawPeer> {
    const socket = connect(port, '127.0.0.1');
    const peer = new RawPeer(socket);
    return new Promise((resolve) => {
      socket.once('connect', () => resolve(peer));
      socket.once('close', () => resolve(peer));
    });
  }

  static openTls(port: number, options: ConnectionOptions): Promise<RawPeer> {
    const socket = connectTls({ port, host: '127.0.0.1', ...options });
    const peer = new RawPeer(socket);
    return new Promise((resolve) => {
      socket.once('secureConnect', () => resolve(peer));
      socket.once('close', () => resolve(peer));
    });
  }

  /** Preface and settings: from now on frames count. */
  greet(): this {
    this.socket.write(Buffer.concat([PREFACE, frame(FRAME.settings, 0, 0)]));
    return this;
  }

  write(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve) => {
      if (this.isClosed || this.socket.destroyed) resolve();
      else this.socket.write(bytes, () => resolve());
    });
  }

  /** Of the certificate that it was shown. */
  subject(): string {
    return this.socket instanceof TLSSocket ? (this.socket.getPeerX509Certificate()?.subject ?? '') : '';
  }

  /** Types of the frames received so far. */
  frames(): number[] {
    const all = Buffer.concat(this.received);
    const types: number[] = [];
    for (let at = 0; at + 9 <= all.length; at += 9 + all.readUIntBE(at, 3)) types.push(all[at + 3] ?? -1);
    return types;
  }

  close(): void {
    this.socket.destroy();
  }
}
