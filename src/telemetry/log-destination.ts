import { constants, fstatSync, openSync } from 'node:fs';
import pino from 'pino';

/** Lines waiting for a reader that does not read; past it they are dropped and counted. */
const MAX_BUFFERED = 1024 * 1024;
/** At exit, tries of 100 ms each to get the last lines through a full pipe. */
const EXIT_TRIES = 3;

export interface LogDestination {
  write(line: string): void;
  /** Writes what is buffered before the process ends; gives up where nobody reads. */
  flushSync(): void;
  /** Lines given up so far. */
  dropped(): number;
}

/** Asynchronous writes to a file descriptor: a reader that stops reading costs lines, never time. */
export function openLogDestination(fd: number, maxBuffered = MAX_BUFFERED): LogDestination {
  let dropped = 0;
  let triesLeft = Infinity;
  const stream = pino.destination({
    fd: nonBlocking(fd),
    sync: false,
    maxLength: maxBuffered,
    retryEAGAIN: () => {
      triesLeft -= 1;
      return triesLeft >= 0;
    },
  });
  stream.on('drop', () => {
    dropped += 1;
  });
  const flushSync = stream.flushSync.bind(stream);
  // Also what pino calls at exit, where waiting without end would keep the process from ending.
  stream.flushSync = () => {
    triesLeft = EXIT_TRIES;
    try {
      flushSync();
    } catch {
      dropped += 1;
    } finally {
      triesLeft = Infinity;
    }
  };
  return {
    write: (line) => {
      stream.write(line);
    },
    flushSync: () => stream.flushSync(),
    dropped: () => dropped,
  };
}

/**
 * A pipe opened a second time, without blocking: a write to a full one would otherwise hold a thread of the pool, and the
 * end of the process with it. The flag stays with this opening: whoever shares the pipe is not touched.
 */
function nonBlocking(fd: number): number {
  try {
    if (!fstatSync(fd).isFIFO()) return fd;
    return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch {
    return fd;
  }
}
