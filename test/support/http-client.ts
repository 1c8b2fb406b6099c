import { connect, type Socket } from 'node:net';
import { Agent, request } from 'undici';

export interface RequestOptions {
  readonly method?: string;
  /** A string or bytes go out as they are; anything else as JSON. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  /** Hang up after so many bytes of the answer's body. */
  readonly hangUpAfterBytes?: number;
}

export interface Answer {
  readonly status: number;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
  readonly text: string;
  /** False when the connection ended before the body did: the missing terminator of HTTP/1.1, a short Content-Length. */
  readonly isComplete: boolean;
  /** What broke the body off, if anything. */
  readonly error: Error | undefined;
  /** Pieces in order of arrival; ms since the request was sent. */
  readonly chunks: readonly { readonly atMs: number; readonly bytes: Buffer }[];
  /** ms until the headers. */
  readonly firstByteMs: number;
  readonly totalMs: number;
  json(): unknown;
  /** The body's lines as JSON (NDJSON). */
  lines(): unknown[];
  /** The `data:` fields of an event stream, in order. */
  events(): string[];
}

// Thousands of streams at once, and no opinion of its own on how long an answer may take.
const agent = new Agent({ connections: null, pipelining: 1, headersTimeout: 0, bodyTimeout: 0 });

/** Sends one request and reads the whole answer; rejects only when there is no answer at all. */
export async function send(url: string, options: RequestOptions = {}): Promise<Answer> {
  const { body, signal, hangUpAfterBytes = Number.POSITIVE_INFINITY } = options;
  const startedAt = performance.now();
  const response = await request(url, {
    method: (options.method ?? (body === undefined ? 'GET' : 'POST')) as 'GET', // any method at all
    headers: { 'content-type': 'application/json', ...options.headers },
    body: bytesOf(body),
    dispatcher: agent,
    ...(signal === undefined ? {} : { signal }),
  });
  const firstByteMs = performance.now() - startedAt;
  const chunks: { atMs: number; bytes: Buffer }[] = [];
  let error: Error | undefined;
  let received = 0;
  try {
    for await (const bytes of response.body) {
      chunks.push({ atMs: performance.now() - startedAt, bytes });
      received += bytes.length;
      if (received >= hangUpAfterBytes) {
        response.body.destroy();
        break;
      }
    }
  } catch (reason) {
    error = reason instanceof Error ? reason : new Error(String(reason));
  }
  const whole = Buffer.concat(chunks.map((chunk) => chunk.bytes));
  const text = whole.toString();
  return {
    status: response.statusCode,
    headers: response.headers,
    body: whole,
    text,
    isComplete: error === undefined && received < hangUpAfterBytes,
    error,
    chunks,
    firstByteMs,
    totalMs: performance.now() - startedAt,
    json: () => JSON.parse(text),
    lines: () =>
      text
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line)),
    events: () => [...text.matchAll(/^data: ?(.*)$/gm)].map((match) => match[1] ?? ''),
  };
}

/** POST of a JSON body. */
export function post(url: string, body: unknown, options: RequestOptions = {}): Promise<Answer> {
  return send(url, { ...options, method: 'POST', body });
}

/** Closes idle connections of `send`, for tests that count connections. */
export async function closeConnections(): Promise<void> {
  await agent.close();
}

/** A connection on which the test writes whatever it likes, HTTP or not. */
export class RawConnection {
  readonly socket: Socket;
  /** Resolves when the connection is over, to how it ended. */
  readonly closed: Promise<'fin' | 'reset'>;
  readonly #received: Buffer[] = [];
  readonly #wakers = new Set<() => void>();
  #isClosed = false;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (bytes) => {
      this.#received.push(bytes);
      this.#wake();
    });
    let reset = false;
    socket.on('error', () => {
      reset = true;
    });
    this.closed = new Promise((resolve) => {
      socket.on('close', () => {
        this.#isClosed = true;
        this.#wake();
        resolve(reset ? 'reset' : 'fin');
      });
    });
  }

  /** Everything received so far. */
  get received(): string {
    return Buffer.concat(this.#received).toString('latin1');
  }

  write(data: string | Buffer): void {
    this.socket.write(data);
  }

  /** Waits until `pattern` has arrived; rejects at the end of the connection or of the time. */
  async waitFor(pattern: RegExp, timeoutMs = 5000): Promise<string> {
    const deadline = performance.now() + timeoutMs;
    while (!pattern.test(this.received)) {
      const left = deadline - performance.now();
      if (this.#isClosed || left <= 0) {
        throw new Error(`no ${pattern} in ${JSON.stringify(this.received.slice(0, 2000))}`);
      }
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          clearTimeout(timer);
          this.#wakers.delete(wake);
          resolve();
        };
        const timer = setTimeout(wake, left);
        this.#wakers.add(wake);
      });
    }
    return this.received;
  }

  /** FIN: nothing more will be sent, the answer is still read. */
  halfClose(): void {
    this.socket.end();
  }

  /** FIN, and nothing more is read. */
  hangUp(): void {
    this.socket.destroy();
  }

  /** RST, as SO_LINGER 0 does. */
  reset(): void {
    this.socket.resetAndDestroy();
  }

  #wake(): void {
    for (const wake of [...this.#wakers]) wake();
  }
}

/** Connects to the host and port of `url`. */
export function connectRaw(url: string): Promise<RawConnection> {
  const { hostname, port } = new URL(url);
  const host = hostname.replace(/^\[|\]$/g, '');
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port: Number(port) });
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      resolve(new RawConnection(socket));
    });
  });
}

/** The bytes of an HTTP/1.1 request, for RawConnection. */
export function rawRequest(
  method: string,
  path: string,
  {
    host = 'localhost',
    headers = {},
    body = '',
  }: { host?: string; headers?: Record<string, string>; body?: string } = {},
): string {
  const all: Record<string, string> = { Host: host, ...headers };
  if (body !== '' && all['Transfer-Encoding'] === undefined) {
    all['Content-Length'] ??= String(Buffer.byteLength(body));
  }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n${body}`;
}

function bytesOf(body: unknown): string | Buffer | null {
  if (body === undefined) return null;
  if (typeof body === 'string' || Buffer.isBuffer(body)) return body;
  return JSON.stringify(body);
}
