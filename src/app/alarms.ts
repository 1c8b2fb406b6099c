import type { Log } from './log.ts';
import type { Clock } from './ports.ts';

/** What an alarm is about; stable, for people and tools. */
export type AlarmCode =
  | 'config_rejected'
  | 'shrink_guard'
  | 'endpoints_rejected'
  | 'address_clash'
  | 'ext_proc_misconfigured';

export interface RaisedAlarm {
  readonly code: AlarmCode;
  readonly message: string;
  /** ISO 8601. */
  readonly since: string;
}

/** What stands in the way of normal service now. One per code: said once when it appears, once when it is over. */
export class Alarms {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #raised = new Map<AlarmCode, RaisedAlarm>();

  constructor(clock: Clock, log: Log) {
    this.#clock = clock;
    this.#log = log;
  }

  raise(code: AlarmCode, message: string): void {
    const known = this.#raised.get(code);
    if (known?.message === message) return;
    this.#raised.set(code, { code, message, since: known?.since ?? this.#clock.date().toISOString() });
    this.#log.warn({ alarm: code }, message);
  }

  clear(code: AlarmCode): void {
    const known = this.#raised.get(code);
    if (known === undefined) return;
    this.#raised.delete(code);
    this.#log.info({ alarm: code }, `over: ${known.message}`);
  }

  list(): readonly RaisedAlarm[] {
    return [...this.#raised.values()];
  }
}
