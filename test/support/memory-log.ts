import type { Log } from '../../src/app/log.ts';

export interface LogLine {
  readonly level: string;
  readonly message: string;
  readonly fields: object;
}

/** Keeps what was logged. */
export class MemoryLog implements Log {
  readonly lines: LogLine[] = [];
  isLevelEnabled(): boolean {
    return true;
  }
  debug(fields: object, message: string): void {
    this.lines.push({ level: 'debug', message, fields });
  }
  info(fields: object, message: string): void {
    this.lines.push({ level: 'info', message, fields });
  }
  warn(fields: object, message: string): void {
    this.lines.push({ level: 'warn', message, fields });
  }
  error(fields: object, message: string): void {
    this.lines.push({ level: 'error', message, fields });
  }
  count(level: string): number {
    return this.lines.filter((line) => line.level === level).length;
  }
  /** Messages of one level, in order. */
  messages(level: string): string[] {
    return this.lines.filter((line) => line.level === level).map(({ message }) => message);
  }
}
