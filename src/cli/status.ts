import { statusSchema } from '../api/status-schema.ts';
import { AdminUnreachable, readAdmin } from './admin-client.ts';
import { EXIT, type ExitCode } from './exit-code.ts';
import type { Io } from './io.ts';
import { renderStatus } from './status-view.ts';
import { columnsOf, createPaint } from './terminal.ts';

const REDRAW_MS = 1000;
const HOME = '\u001b[H';
const CLEAR_TO_LINE_END = '\u001b[K';
const CLEAR_BELOW = '\u001b[J';
const HIDE_CURSOR = '\u001b[?25l';
const SHOW_CURSOR = '\u001b[?25h';

export interface StatusOptions {
  /** Of the admin server, without a slash at the end. */
  readonly url: string;
  readonly json: boolean;
  readonly watch: boolean;
  /** What was learnt of each model on each node is shown too. */
  readonly models?: boolean;
}

/** Prints the state of a running Warmpath, once or every second until interrupted. */
export async function runStatus(io: Io, options: StatusOptions): Promise<ExitCode> {
  if (!options.watch) {
    io.out.write(await report(io, options));
    return EXIT.ok;
  }
  const isLive = io.out.isTTY === true && !options.json;
  if (isLive) io.out.write(HIDE_CURSOR);
  try {
    while (!io.signal.aborted) {
      const text = await report(io, options).catch((error: unknown) => {
        if (error instanceof AdminUnreachable) return `${error.message}\n`;
        throw error;
      });
      if (!io.signal.aborted) io.out.write(isLive ? redraw(text) : text);
      await io.clock.sleep(REDRAW_MS, io.signal);
    }
  } finally {
    if (isLive) io.out.write(SHOW_CURSOR);
  }
  return EXIT.ok;
}

/** Over what was drawn before: clearing the whole screen first would flicker. */
function redraw(text: string): string {
  return `${HOME}${text.replaceAll('\n', `${CLEAR_TO_LINE_END}\n`)}${CLEAR_BELOW}`;
}

async function report(io: Io, { url, json, models = false }: StatusOptions): Promise<string> {
  const status = await readAdmin(io, url, '/status', statusSchema);
  if (json) return `${JSON.stringify(status, null, 2)}\n`;
  return renderStatus(status, createPaint(io.out, io.env), columnsOf(io.out), models);
}
