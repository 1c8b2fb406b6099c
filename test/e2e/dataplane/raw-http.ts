import { connect } from 'node:net';

export interface RawAnswer {
  /** 0 where the connection was closed without an answer. */
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
  readonly text: string;
}

/** Sends bytes as they are and reads until the other side closes, answers in full, or `timeoutMs` is over. */
export function raw(
  port: number,
  bytes: string | Buffer,
  { timeoutMs = 1_500, half = false }: { timeoutMs?: number; half?: boolean } = {},
): Promise<RawAnswer> {
  const { promise, resolve } = Promise.withResolvers<RawAnswer>();
  const socket = connect(port, '127.0.0.1');
  let text = '';
  const finish = () => {
    clearTimeout(timer);
    socket.destroy();
    resolve(parse(text));
  };
  const timer = setTimeout(finish, timeoutMs);
  socket.setEncoding('latin1');
  socket.on('data', (part: string) => {
    text += part;
    if (isWhole(text)) finish();
  });
  socket.on('close', finish);
  socket.on('error', finish);
  socket.on('connect', () => {
    if (half) socket.end(bytes);
    else socket.write(bytes);
  });
  return promise;
}

function isWhole(text: string): boolean {
  const end = text.indexOf('\r\n\r\n');
  if (end < 0) return false;
  const length = /\r\ncontent-length: (\d+)\r\n/i.exec(`${text.slice(0, end)}\r\n`)?.[1];
  return length !== undefined && text.length >= end + 4 + Number(length);
}

function parse(text: string): RawAnswer {
  const end = text.indexOf('\r\n\r\n');
  const [first = '', ...lines] = text.slice(0, Math.max(0, end)).split('\r\n');
  const headers = new Map(
    lines.map((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const;
    }),
  );
  return {
    status: Number(/^HTTP\/1\.[01] (\d{3})/.exec(first)?.[1] ?? 0),
    headers,
    body: end < 0 ? '' : text.slice(end + 4),
    text,
  };
}
