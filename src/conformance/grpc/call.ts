import { type ClientHttp2Stream, constants, type IncomingHttpHeaders } from 'node:http2';
import { FrameReader, frame } from './frames.ts';

/** How a call was over. `reset`: without a gRPC status, or the connection went. */
export type Ending =
  | { readonly kind: 'status'; readonly code: number; readonly message: string }
  | { readonly kind: 'http'; readonly status: number }
  | { readonly kind: 'reset'; readonly code: number };

export type CallEvent =
  | { readonly kind: 'message'; readonly message: Buffer }
  | { readonly kind: 'over'; readonly ending: Ending }
  | { readonly kind: 'silence'; readonly ms: number };

/** One gRPC call with every byte, half-close, reset and pause in the caller's hand. */
export class Call {
  readonly #stream: ClientHttp2Stream;
  readonly #messages: Buffer[] = [];
  #ending: Ending | undefined;
  #wake: () => void = NOTHING;

  constructor(stream: ClientHttp2Stream) {
    this.#stream = stream;
    const reader = new FrameReader();
    let status: Ending | undefined;
    const note = (headers: IncomingHttpHeaders): void => {
      const code = headers['grpc-status'];
      if (code !== undefined)
        status = {
          kind: 'status',
          code: Number(code),
          message: decode(String(headers['grpc-message'] ?? '')),
        };
    };
    stream.on('response', (headers) => {
      const http = Number(headers[':status']);
      if (http !== 200) status = { kind: 'http', status: http };
      note(headers);
    });
    stream.on('trailers', note);
    stream.on('data', (chunk: Buffer) => {
      this.#messages.push(...reader.push(chunk));
      this.#wake();
    });
    stream.on('end', () => {
      if (status !== undefined) this.#over(status);
      if (!stream.destroyed) stream.close();
    });
    // `close` follows and says all that matters.
    stream.on('error', NOTHING);
    stream.on('close', () => this.#over(status ?? { kind: 'reset', code: stream.rstCode ?? 0 }));
  }

  /** Undefined as long as the call goes on. */
  get ending(): Ending | undefined {
    return this.#ending;
  }

  /** One message in its frame. False: more is under way than the peer has taken. */
  write(message: Uint8Array): boolean {
    return this.writeRaw(frame(message));
  }

  writeRaw(bytes: Uint8Array): boolean {
    if (this.#ending !== undefined || this.#stream.destroyed || this.#stream.writableEnded) return false;
    return this.#stream.write(bytes);
  }

  /** Nothing more from this side; the peer may go on. */
  halfClose(): void {
    if (!this.#stream.writableEnded && !this.#stream.destroyed) this.#stream.end();
  }

  /** As a proxy does whose client has gone. */
  reset(): void {
    if (!this.#stream.destroyed) this.#stream.close(constants.NGHTTP2_CANCEL);
  }

  /** Stops reading: the peer's window fills up. */
  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }

  /** The next message, in order; then the ending, as often as it is asked for. */
  async next(timeoutMs: number): Promise<CallEvent> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const message = this.#messages.shift();
      if (message !== undefined) return { kind: 'message', message };
      if (this.#ending !== undefined) return { kind: 'over', ending: this.#ending };
      const left = deadline - performance.now();
      if (left <= 0) return { kind: 'silence', ms: timeoutMs };
      await this.#woken(left);
    }
  }

  #woken(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #over(ending: Ending): void {
    this.#ending ??= ending;
    this.#wake();
  }
}

function NOTHING(): void {}

/** grpc-message is percent-encoded. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
