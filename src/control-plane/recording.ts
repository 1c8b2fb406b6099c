import { DecisionRecorder } from '../app/decision-recorder.ts';
import type { Log } from '../app/log.ts';
import type { Clock } from '../app/ports.ts';
import { RecordingFile } from '../app/recording-file.ts';
import type { RequestWatcher } from '../app/request-watcher.ts';
import type { Config } from '../config/config.ts';

export interface RecordingDependencies {
  /** The settings that hold now. */
  readonly settings: () => Config['decisions'];
  readonly clock: Clock;
  readonly log: Log;
  readonly salt: Uint8Array;
}

interface Lines {
  readonly written: number;
  readonly dropped: number;
}

/** Records requests in the file that the configuration names now; another name takes effect with the next request. */
export class Recording {
  readonly #deps: RecordingDependencies;
  readonly #recorder: DecisionRecorder;
  readonly #closing = new Set<Promise<void>>();
  #settings: Config['decisions'] | undefined;
  #file: RecordingFile | undefined;
  /** Of files that are closed. */
  #before: Lines = { written: 0, dropped: 0 };

  constructor(deps: RecordingDependencies) {
    this.#deps = deps;
    const { clock, salt } = deps;
    this.#recorder = new DecisionRecorder({ append: (line) => this.#file?.append(line), clock, salt });
  }

  readonly watcher: RequestWatcher = {
    unplaced: (request) => {
      if (this.#current() !== undefined) this.#recorder.unplaced(request);
    },
    ended: (decision, node, outcome) => {
      if (this.#current() !== undefined) this.#recorder.ended(decision, node, outcome);
    },
  };

  /** Since the start, over all files; undefined while nothing is recorded. */
  report(): Lines | undefined {
    const file = this.#current();
    return file && sum(this.#before, file);
  }

  /** Writes what waits to be recorded. */
  async close(): Promise<void> {
    await Promise.all([this.#file?.close(), ...this.#closing]);
  }

  #current(): RecordingFile | undefined {
    const { settings, clock, log } = this.#deps;
    const { record: path, maxBytes } = settings();
    if (path === this.#settings?.record && maxBytes === this.#settings?.maxBytes) return this.#file;
    this.#settings = { record: path, maxBytes };
    if (this.#file !== undefined) this.#leave(this.#file);
    this.#file = path === undefined ? undefined : new RecordingFile({ path, maxBytes, clock, log });
    return this.#file;
  }

  #leave(file: RecordingFile): void {
    const closed = file.close().then(() => {
      this.#before = sum(this.#before, file);
      this.#closing.delete(closed);
    });
    this.#closing.add(closed);
  }
}

function sum(a: Lines, b: Lines): Lines {
  return { written: a.written + b.written, dropped: a.dropped + b.dropped };
}
