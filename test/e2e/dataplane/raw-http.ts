import { connect } from 'node:net';

export interface RawAnswer {
  /** 0 where the connection was closed without an answer. */
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
  readonly text: string;
  /** The other side said nothing more, nor closed, within the time given. */
  readonly timedOut: boolean;
}

export interface RawOptions {
  readonly timeoutMs?: number;
  /** Close our side after the last byte. */
  readonly half?: boolean;
  /** Whether what came so far is all that is waited for: by default one answer. */
  readonly until?: (text: string, isHead: boolean) => boolean;
}

/** Sends bytes as they are and reads until the other side closes, answers in full, or `timeoutMs` is over. */
export function raw(
  port: number,
  bytes: string | Buffer,
  { timeoutMs = 1_500, half = false, until = isWhole }: RawOptions = {},
): Promise<RawAnswer> {
  const { promise, resolve } = Promise.withResolvers<RawAnswer>();
  const socket = connect(port, '127.0.0.1');
  const isHead = bytes.slice(0, 5).toString() === 'HEAD ';
  let text = '';
  const finish = (timedOut: boolean) => {
    clearTimeout(timer);
    socket.destroy();
    resolve({ ...parse(text), timedOut });
  };
  const timer = setTimeout(finish, timeoutMs, true);
  socket.setEncoding('latin1');
  socket.on('data', (part: string) => {
    text += part;
    if (until(text, isHead)) finish(false);
  });
  socket.on('close', () => finish(false));
  socket.on('error', () => finish(false));
  socket.on('connect', () => {
    if (half) socket.end(bytes);
    else socket.write(bytes);
  });
  return promise;
}

/** The same work for each of `items`, several at a time. */
export async function eachOf<T>(
  items: readonly T[],
  atOnce: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < items.length) {
      const item = items[next++];
      if (item !== undefined) await work(item);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}

const CONTINUE = /^HTTP\/1\.1 100 Continue\r\n\r\n/;

function isWhole(text: string, isHead: boolean): boolean {
  const last = text.replace(CONTINUE, '');
  const end = last.indexOf('\r\n\r\n');
  if (end < 0) return false;
  if (isHead || /^HTTP\/1\.1 (204|304) /.test(last)) return true;
  const length = /\r\ncontent-length: (\d+)\r\n/i.exec(`${last.slice(0, end)}\r\n`)?.[1];
  return length !== undefined && last.length >= end + 4 + Number(length);
}

function parse(text: string): Omit<RawAnswer, 'timedOut'> {
  const last = text.replace(CONTINUE, '');
  const end = last.indexOf('\r\n\r\n');
  const [first = '', ...lines] = last.slice(0, Math.max(0, end)).split('\r\n');
  const headers = new Map(
    lines.map((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const;
    }),
  );
  return {
    status: Number(/^HTTP\/1\.[01] (\d{3})/.exec(first)?.[1] ?? 0),
    headers,
    body: end < 0 ? '' : last.slice(end + 4),
    text,
  };
}
