import { constants, type OutgoingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import type { MethodDefinition } from '@grpc/proto-loader';
import { EncodedMessage } from './encoded-message.ts';
import { framed, MessageReader, type ReadProblem } from './message-reader.ts';
import { type CallStatus, OK, STATUS } from './status.ts';
import type { UnreadBudget } from './unread-budget.ts';

/** What happens to a call, in this order; nothing after `onOver`. */
export interface CallListener<In> {
  onMessage(message: In): void;
  /** The peer has said all it had to say. */
  onEnd(): void;
  /** Exactly once, whatever the reason: ended by either side, reset, connection lost. */
  onOver(): void;
}

export interface CallOptions {
  /** Largest message that is read, bytes. */
  readonly maxMessageBytes: number;
  /** What all peers together may leave unread. */
  readonly unread: UnreadBudget;
  /** A defect in the code that was called. */
  readonly onDefect: (error: unknown) => void;
}

/** How long a peer may take to end a call whose status it has been sent. */
const LINGER_MS = 1_000;
const HEADERS: OutgoingHttpHeaders = { ':status': 200, 'content-type': 'application/grpc' };
const WITH_TRAILERS = { waitForTrailers: true, sendDate: false };
const NO_DATE = { sendDate: false };
const PROBLEMS: Readonly<Record<ReadProblem, CallStatus>> = {
  compressed: { code: STATUS.unimplemented, details: 'compressed messages are not supported' },
  too_large: { code: STATUS.resourceExhausted, details: 'the message is larger than this server takes' },
};

/** One call of a peer: messages in, messages out, in the end a status. */
export class GrpcCall<In = unknown, Out = unknown> {
  readonly #stream: ServerHttp2Stream;
  readonly #method: MethodDefinition<object, object>;
  readonly #options: CallOptions;
  #listener: CallListener<In> | undefined;
  #status: CallStatus | undefined;
  #hasHeaders = false;
  /** Whether a message has come. */
  #isHeard = false;
  #isBehind = false;

  constructor(stream: ServerHttp2Stream, method: MethodDefinition<object, object>, options: CallOptions) {
    this.#stream = stream;
    this.#method = method;
    this.#options = options;
    // `close` follows, and says all that matters.
    stream.on('error', NOTHING);
  }

  /** Starts reading. */
  listen(listener: CallListener<In>): void {
    this.#listener = listener;
    const stream = this.#stream;
    const reader = new MessageReader(this.#options.maxMessageBytes);
    const onMessage = (message: Buffer) => {
      this.#isHeard = true;
      this.#receive(message);
    };
    stream.on('data', (chunk: Buffer) => {
      if (this.#status !== undefined) return;
      const problem = reader.push(chunk, onMessage);
      if (problem !== undefined) this.end(PROBLEMS[problem]);
    });
    stream.on('end', () => {
      if (this.#status === undefined) this.#guard(() => listener.onEnd());
    });
    stream.on('close', () => {
      if (this.#isBehind) this.#options.unread.set(this, 0);
      this.#guard(() => listener.onOver());
    });
  }

  /** Nothing happens where the call is over already. */
  send(message: Out | EncodedMessage): void {
    const stream = this.#stream;
    if (this.#status !== undefined || stream.destroyed || stream.closed) return;
    if (!this.#hasHeaders) this.#sendHeaders();
    // Sound: whoever handles a method knows what it answers with.
    const isRead =
      message instanceof EncodedMessage
        ? this.#write(message.parts)
        : stream.write(framed(this.#method.responseSerialize(message as object)));
    if (!isRead) this.#fallBehind();
  }

  /** What `work` sends leaves together: one write instead of one for each message. */
  together(work: () => void): void {
    const stream = this.#stream;
    stream.cork();
    try {
      work();
    } finally {
      stream.uncork();
    }
  }

  /** All in one go; false where more lies here than the peer reads. */
  #write(parts: readonly Uint8Array[]): boolean {
    const stream = this.#stream;
    let isRead = true;
    stream.cork();
    for (const part of parts) isRead = stream.write(part);
    stream.uncork();
    return isRead;
  }

  /** The peer does not read what it is sent, for now or for ever. */
  cut(): void {
    this.#status ??= { code: STATUS.resourceExhausted, details: '' };
    this.#stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
    this.#stream.destroy();
  }

  /** Nobody opens a call to say nothing: such a one is ended. */
  endUnheard(): void {
    if (this.#isHeard || this.#status !== undefined) return;
    this.end({ code: STATUS.deadlineExceeded, details: 'no message came' });
  }

  /** Ends the call after all that was sent. The first status counts. */
  end(status: CallStatus = OK): void {
    const stream = this.#stream;
    if (this.#status !== undefined) return;
    this.#status = status;
    if (stream.destroyed || stream.closed) return;
    if (!this.#hasHeaders) {
      stream.respond({ ...HEADERS, ...trailers(status) }, { ...NO_DATE, endStream: true });
      this.#stopReading();
      return;
    }
    stream.end();
  }

  #fallBehind(): void {
    const stream = this.#stream;
    const { unread } = this.#options;
    if (!this.#isBehind)
      stream.once('drain', () => {
        this.#isBehind = false;
        unread.set(this, 0);
      });
    this.#isBehind = true;
    unread.set(this, stream.writableLength);
  }

  #sendHeaders(): void {
    this.#hasHeaders = true;
    const stream = this.#stream;
    stream.respond(HEADERS, WITH_TRAILERS);
    stream.once('wantTrailers', () => {
      stream.sendTrailers(trailers(this.#status ?? OK));
      this.#stopReading();
    });
  }

  /** The call has ended for us. A peer that does not end it as well is cut: at once would overtake the status. */
  #stopReading(): void {
    const stream = this.#stream;
    if (stream.readableEnded) return;
    const timer = setTimeout(() => stream.close(constants.NGHTTP2_NO_ERROR), LINGER_MS).unref();
    stream.once('close', () => clearTimeout(timer));
  }

  #receive(bytes: Buffer): void {
    if (this.#status !== undefined) return;
    let message: In;
    try {
      message = this.#method.requestDeserialize(bytes) as In; // sound, as above
    } catch {
      this.end({ code: STATUS.internal, details: 'the message is not what the method takes' });
      return;
    }
    this.#guard(() => this.#listener?.onMessage(message));
  }

  #guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#options.onDefect(error);
      this.end({ code: STATUS.unknown, details: 'internal error' });
    }
  }
}

const NOTHING = () => undefined;

function trailers({ code, details }: CallStatus): OutgoingHttpHeaders {
  if (details === '') return { 'grpc-status': String(code) };
  return { 'grpc-status': String(code), 'grpc-message': encodeURIComponent(details).replaceAll('%20', ' ') };
}
