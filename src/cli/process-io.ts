import type { Clock } from '../app/ports.ts';
import type { Io } from './io.ts';

/** The real outside world. A reader that leaves early (`| head`) ends the process quietly. */
export function processIo(clock: Clock, signal: AbortSignal): Io {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit(0);
      throw error;
    });
  }
  return { out: process.stdout, err: process.stderr, env: process.env, clock, fetch, signal };
}
