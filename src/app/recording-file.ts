import { type FileHandle, open, rename } from 'node:fs/promises';
import type { Log } from './log.ts';
import type { Clock } from './ports.ts';

const NEWLINE = 0x0a;
const FLUSH_MS = 1_000;
/** Written at once when so much waits. */
const FLUSH_BYTES = 64 * 1024;
/** What a disk that does not keep up may hold in memory; lines beyond it are given up. */
const MAX_WAITING_BYTES = 4 * 1024 * 1024;

export interface RecordingFileOptions {
  readonly path: string;
  /** The file is begun anew beyond this; the earlier one stays as `<path>.1`. */
  readonly maxBytes: number;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * A file of lines that is appended to, off the request path. A disk that is full or slow costs lines, which are counted, and
 * one warning until it works again; nothing waits for it.
 */
export class RecordingFile {
  readonly #options: RecordingFileOptions;
  #waiting: string[] = [];
  #waitingBytes = 0;
  #file: FileHandle | undefined;
  #size = 0;
  #dropped = 0;
  #written = 0;
  #isFailing = false;
  #isClosed = false;
  #cancelTimer: (() => void) | undefined;
  #writing: Promise<void> | undefined;

  constructor(options: RecordingFileOptions) {
    this.#options = options;
  }

  /** Lines given up so far. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Lines that reached the file so far. */
  get written(): number {
    return this.#written;
  }

  /** `line` without its end. */
  append(line: string): void {
    const bytes = Buffer.byteLength(line) + 1;
    if (this.#isClosed || this.#waitingBytes + bytes > MAX_WAITING_BYTES) {
      this.#dropped += 1;
      return;
    }
    this.#waiting.push(line);
    this.#waitingBytes += bytes;
    if (this.#waitingBytes >= FLUSH_BYTES) void this.flush();
    else
      this.#cancelTimer ??= this.#options.clock.after(FLUSH_MS, () => {
        this.#cancelTimer = undefined;
        void this.flush();
      });
  }

  /** Resolves when everything that waits now is written or given up; never rejects. */
  async flush(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing;
    if (this.#waiting.length === 0) return;
    this.#writing = this.#write().finally(() => {
      this.#writing = undefined;
    });
    await this.#writing;
  }

  /** Writes what waits; lines that come later are given up. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancelTimer?.();
    await this.flush();
    await this.#file?.close().catch(() => {});
    this.#file = undefined;
  }

  async #write(): Promise<void> {
    const lines = this.#waiting;
    const bytes = this.#waitingBytes;
    this.#waiting = [];
    this.#waitingBytes = 0;
    try {
      await this.#rotate(bytes);
      this.#file ??= await this.#open();
      await this.#file.appendFile(`${lines.join('\n')}\n`);
      this.#size += bytes;
      this.#written += lines.length;
      if (this.#isFailing)
        this.#options.log.info({ file: this.#options.path }, 'decisions are recorded again');
      this.#isFailing = false;
    } catch (error) {
      this.#dropped += lines.length;
      await this.#file?.close().catch(() => {});
      this.#file = undefined;
      this.#warn(error);
    }
  }

  async #rotate(bytes: number): Promise<void> {
    this.#file ??= await this.#open();
    const { path, maxBytes } = this.#options;
    if (this.#size === 0 || this.#size + bytes <= maxBytes) return;
    await this.#file.close();
    this.#file = undefined;
    await rename(path, `${path}.1`);
  }

  async #open(): Promise<FileHandle> {
    // Callers are hashed and there are no prompts, but who asks for what and when is nobody else's business.
    const file = await open(this.#options.path, 'a+', 0o600);
    const { size } = await file.stat();
    this.#size = size;
    // A crash or a full disk may have cut the last line off: the next one must not be lost with it.
    if (size > 0) {
      const { buffer } = await file.read({ buffer: Buffer.alloc(1), position: size - 1 });
      if (buffer[0] !== NEWLINE) await file.appendFile('\n');
    }
    return file;
  }

  #warn(error: unknown): void {
    if (this.#isFailing) return;
    this.#isFailing = true;
    const { log, path } = this.#options;
    log.warn(
      { err: error, file: path },
      'decisions cannot be recorded; make room or correct decisions.record. Requests go on, their records are lost',
    );
  }
}
