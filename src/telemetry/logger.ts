import { isatty } from 'node:tty';
import pino, { type Logger } from 'pino';
import { prettyFactory } from 'pino-pretty';
import { type LogDestination, openLogDestination } from './log-destination.ts';
import { safeFields, safeText } from './safe-fields.ts';

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';

export interface LoggerOptions {
  readonly level: LogLevel;
  /** `auto`: pretty on a terminal, JSON elsewhere. */
  readonly format: 'auto' | 'json' | 'pretty';
  /** Colour in the pretty format; undefined: on a terminal unless NO_COLOR is set. */
  readonly color?: boolean;
  /** Fields of every line. */
  readonly base?: Readonly<Record<string, unknown>>;
  /** Where lines go; undefined: standard output. */
  readonly destination?: LogDestination;
}

export interface LoggerHandle {
  readonly logger: Logger;
  readonly destination: LogDestination;
}

/** A logger that never waits for its reader, writes no secrets, and shows no control character of anybody's. */
export function createLogger(options: LoggerOptions): LoggerHandle {
  const isTerminal = options.destination === undefined && isatty(1);
  const destination = options.destination ?? openLogDestination(1);
  const isPretty = options.format === 'pretty' || (options.format === 'auto' && isTerminal);
  const color = options.color ?? (isTerminal && !process.env.NO_COLOR);
  const logger = pino(
    {
      level: options.level,
      base: { ...options.base },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: {
        level: (label) => ({ level: label }),
        bindings: safeFields,
        log: safeFields,
      },
      // `safeFields` has made errors plain already.
      serializers: { err: (error) => error },
      hooks: { logMethod: writeSafely },
    },
    isPretty ? prettily(destination, color) : destination,
  );
  return { logger, destination };
}

/** Makes the message and what is interpolated into it safe; the fields pass through `formatters.log`. */
function writeSafely(this: Logger, args: Parameters<pino.LogFn>, method: pino.LogFn): void {
  const [first, ...rest] = args as unknown[];
  const safe = rest.map((arg) => (typeof arg === 'string' ? safeText(arg) : arg));
  if (first instanceof Error && safe.length === 0) safe.push(safeText(first.message));
  const head = typeof first === 'string' ? safeText(first) : first;
  // The arguments keep their kinds and their order, which the overloads of pino's method cannot express.
  method.apply(this, [head, ...safe] as Parameters<pino.LogFn>);
}

function prettily(destination: LogDestination, colorize: boolean): { write(line: string): void } {
  const format = prettyFactory({
    colorize,
    translateTime: 'SYS:HH:MM:ss.l',
    ignore: 'pid,hostname',
    singleLine: true,
  });
  return {
    write: (line) => {
      const text = format(line);
      if (text !== undefined) destination.write(text);
    },
  };
}
