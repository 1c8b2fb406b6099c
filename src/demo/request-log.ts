import type { IncomingHttpHeaders } from 'node:http';

/** One request as the node saw it. Times are monotonic ms of this process (`performance.now()`). */
export interface RecordedRequest {
  readonly id: number;
  readonly method: string;
  /** Request target as received, query included. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly startedAt: number;
  /** Set when the body has arrived completely. */
  bodySha256: string | undefined;
  bodyBytes: number;
  /** Model named in the body, as written. */
  model: string | undefined;
  /** 0 until headers were sent. */
  status: number;
  /** Tokens generated so far. */
  tokens: number;
  /** undefined while it runs. */
  endedAt: number | undefined;
  /** The connection was gone before the answer was complete. */
  aborted: boolean;
}

/** The newest requests, oldest first. Bounded: a demo runs for days. */
export class RequestLog {
  readonly #limit: number;
  #entries: RecordedRequest[] = [];
  #count = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get entries(): readonly RecordedRequest[] {
    return this.#entries;
  }

  /** All requests ever seen. */
  get count(): number {
    return this.#count;
  }

  add(request: Pick<RecordedRequest, 'method' | 'path' | 'headers' | 'startedAt'>): RecordedRequest {
    const entry: RecordedRequest = {
      ...request,
      id: ++this.#count,
      bodySha256: undefined,
      bodyBytes: 0,
      model: undefined,
      status: 0,
      tokens: 0,
      endedAt: undefined,
      aborted: false,
    };
    // Dropping half at a time keeps adding cheap.
    if (this.#entries.length >= this.#limit)
      this.#entries = this.#entries.slice(-Math.floor(this.#limit / 2));
    this.#entries.push(entry);
    return entry;
  }

  clear(): void {
    this.#entries = [];
  }
}
