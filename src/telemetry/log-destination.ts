import { constants, fstatSync, openSync, type Stats, write, writeSync } from 'node:fs';
import { Socket } from 'node:net';

/** Characters waiting for a reader that does not read; lines past it are dropped and counted. */
const MAX_BUFFERED = 1024 * 1024;
/** Lines are written together up to this size. */
const BATCH = 64 * 1024;
/** How soon a full pipe is tried again: at once it would burn a core, later it would slow a reader that reads. */
const RETRY_MS = 5;
/** At exit, how long the last lines may take to go through a full pipe. */
const EXIT_MS = 500;

export interface LogDestination {
  write(line: string): void;
  /** Writes what is buffered before the process ends; gives up where nobody reads. */
  flushSync(): void;
  /** Lines given up so far. */
  dropped(): number;
}

/**
 * A reader that stops reading costs lines, never time. pino's own destination leaves its write to a thread of the pool,
 * where a full pipe or socket keeps the process from ending, or waits 100 ms at each that does not block.
 */
export function openLogDestination(fd: number, maxBuffered = MAX_BUFFERED): LogDestination {
  const destination = new LogWriter(openSink(fd), maxBuffered);
  process.on('exit', () => destination.flushSync());
  return destination;
}

interface Sink {
  readonly fd: number;
  /** A write takes what fits and never waits. Files and what else cannot do so are written by the thread pool. */
  readonly isNonBlocking: boolean;
  /** Held for as long as `fd` is written to. */
  readonly handle?: Socket;
}

function openSink(fd: number): Sink {
  try {
    const stats = fstatSync(fd);
    if (stats.isSocket()) {
      // Making a handle of it is Node's only way to set O_NONBLOCK.
      const handle = new Socket({ fd, readable: false, writable: true });
      handle.on('error', () => {}).unref();
      return { fd, isNonBlocking: true, handle };
    }
    if (isPipeOrTerminal(stats)) return { fd: reopen(fd), isNonBlocking: true };
  } catch {
    // Another user's terminal, no /proc: the thread pool will do.
  }
  return { fd, isNonBlocking: false };
}

function isPipeOrTerminal(stats: Stats): boolean {
  return stats.isFIFO() || stats.isCharacterDevice();
}

/** Opened a second time: the flag stays with this opening, whoever shares the first is not touched. */
function reopen(fd: number): number {
  return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
}

class LogWriter implements LogDestination {
  readonly #sink: Sink;
  readonly #maxBuffered: number;
  /** Lines not yet part of a batch, and their characters. */
  #lines: string[] = [];
  #buffered = 0;
  #batch = Buffer.alloc(0);
  #isDraining = false;
  #isBroken = false;
  #dropped = 0;

  constructor(sink: Sink, maxBuffered: number) {
    this.#sink = sink;
    this.#maxBuffered = maxBuffered;
  }

  write(line: string): void {
    if (this.#isBroken || this.#buffered + line.length > this.#maxBuffered) {
      this.#dropped += 1;
      return;
    }
    this.#lines.push(line);
    this.#buffered += line.length;
    if (this.#isDraining) return;
    this.#isDraining = true;
    setImmediate(this.#drain);
  }

  flushSync(): void {
    // The thread pool finishes what it has begun, even while the process ends.
    if (this.#isDraining && !this.#sink.isNonBlocking) this.#batch = Buffer.alloc(0);
    const deadline = performance.now() + EXIT_MS;
    while (this.#fillBatch()) {
      if (this.#writeBatch()) continue;
      if (performance.now() > deadline) this.#giveUp();
      else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
    }
  }

  dropped(): number {
    return this.#dropped;
  }

  readonly #drain = (): void => {
    while (this.#fillBatch()) {
      if (!this.#sink.isNonBlocking) {
        this.#writeByPool();
        return;
      }
      if (this.#writeBatch()) continue;
      setTimeout(this.#drain, RETRY_MS).unref();
      return;
    }
    this.#isDraining = false;
  };

  /** False where the reader takes no more for now. */
  #writeBatch(): boolean {
    try {
      this.#batch = this.#batch.subarray(writeSync(this.#sink.fd, this.#batch));
      return true;
    } catch (error) {
      if (isFull(error)) return false;
      this.#giveUp();
      return true;
    }
  }

  #writeByPool(): void {
    const batch = this.#batch;
    write(this.#sink.fd, batch, (error, count) => {
      if (error !== null) this.#giveUp();
      else if (batch === this.#batch) this.#batch = batch.subarray(count);
      this.#drain();
    });
  }

  /** Whether there is anything to write. */
  #fillBatch(): boolean {
    if (this.#batch.length > 0) return true;
    let end = 0;
    let length = 0;
    while (end < this.#lines.length && length < BATCH) {
      length += this.#lines[end]?.length ?? 0;
      end += 1;
    }
    if (end === 0) return false;
    this.#batch = Buffer.from(this.#lines.splice(0, end).join(''));
    this.#buffered -= length;
    return true;
  }

  /** The reader is gone, or does not read at the end: nothing more can be said there. */
  #giveUp(): void {
    this.#isBroken = true;
    this.#dropped += this.#lines.length;
    this.#lines = [];
    this.#buffered = 0;
    this.#batch = Buffer.alloc(0);
  }
}

function isFull(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'EAGAIN' || error.code === 'EBUSY');
}
