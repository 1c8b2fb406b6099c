import type { ServerResponse } from 'node:http';
import type { RecordedRequest } from './request-log.ts';

/** Go's server sends a Content-Length for answers up to this size, and chunks beyond. */
const CONTENT_LENGTH_UP_TO = 2048;
/** So that what was written before a reset reaches the peer. */
const RESET_DELAY_MS = 5;

export interface Cut {
  readonly afterBytes: number;
  readonly how: 'rst' | 'fin';
}

/** One HTTP answer, written as Go's server would, which can be made to break off at a given byte of its body. */
export class Reply {
  readonly #response: ServerResponse;
  readonly #record: RecordedRequest;
  #cut: Cut | undefined;
  #sent = 0;
  #isDying = false;

  constructor(response: ServerResponse, record: RecordedRequest) {
    this.#response = response;
    this.#record = record;
    // Go sends a Connection header only to say that it will close.
    if (response.shouldKeepAlive) response.removeHeader('Connection');
  }

  get hasBegun(): boolean {
    return this.#response.headersSent;
  }

  get isOver(): boolean {
    return this.#isDying || this.#response.writableEnded || this.#response.destroyed;
  }

  breakOff(cut: Cut): void {
    this.#cut = cut;
    if (cut.afterBytes === 0) this.#die(cut.how);
  }

  /** Sends a whole answer. */
  send(status: number, body: string | Buffer, contentType: string | undefined, headers: Headers = {}): void {
    if (this.isOver) return;
    const bytes = Buffer.from(body);
    const all: Headers = {
      ...(contentType === undefined ? {} : { 'Content-Type': contentType }),
      ...headers,
    };
    if (bytes.length <= CONTENT_LENGTH_UP_TO) all['Content-Length'] = String(bytes.length);
    this.begin(status, all);
    if (bytes.length > 0 && this.#record.method !== 'HEAD') void this.write(bytes);
    this.end();
  }

  begin(status: number, headers: Headers): void {
    this.#record.status = status;
    this.#response.writeHead(status, headers);
  }

  /** A promise when the reader is slow: write on once it has resolved. */
  write(chunk: string | Buffer): Promise<void> | undefined {
    if (this.isOver || chunk.length === 0) return undefined;
    const left = this.#cut === undefined ? Number.POSITIVE_INFINITY : this.#cut.afterBytes - this.#sent;
    const bytes = left === Number.POSITIVE_INFINITY ? chunk : Buffer.from(chunk).subarray(0, left);
    this.#sent += bytes.length;
    const flowing = this.#response.write(bytes);
    if (this.#cut !== undefined && this.#sent >= this.#cut.afterBytes) {
      this.#die(this.#cut.how);
      return undefined;
    }
    return flowing ? undefined : this.#writable();
  }

  end(): void {
    if (!this.isOver) this.#response.end();
  }

  /** Anything instead of HTTP, straight to the socket. */
  raw(bytes: string | Buffer, ending: 'fin' | 'rst' | 'open'): void {
    const { socket } = this.#response;
    if (socket === null) return;
    socket.write(bytes);
    if (ending !== 'open') this.#die(ending);
  }

  #die(how: 'rst' | 'fin'): void {
    const { socket } = this.#response;
    if (socket === null) return;
    this.#isDying = true;
    if (how === 'fin') socket.end(() => socket.destroy());
    else if (this.#sent === 0 && !this.hasBegun) socket.resetAndDestroy();
    else setTimeout(() => socket.resetAndDestroy(), RESET_DELAY_MS);
  }

  #writable(): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.#response.off('drain', done);
        this.#response.off('close', done);
        resolve();
      };
      this.#response.on('drain', done);
      this.#response.on('close', done);
    });
  }
}

type Headers = Record<string, string>;
