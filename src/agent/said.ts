import type { Log } from '../app/log.ts';

/** Says something about a subject only when it differs from what was said of it last. */
export class Said {
  readonly #log: Log;
  readonly #last = new Map<string, string>();

  constructor(log: Log) {
    this.#log = log;
  }

  info(subject: string, fields: object, text: string): void {
    if (this.#isNew(subject, text)) this.#log.info(fields, text);
  }

  warn(subject: string, fields: object, text: string): void {
    if (this.#isNew(subject, text)) this.#log.warn(fields, text);
  }

  forget(subject: string): void {
    this.#last.delete(subject);
  }

  #isNew(subject: string, text: string): boolean {
    // Figures within a text (an age, a difference of clocks) make no news.
    const gist = text.replace(/\d+/g, '#');
    if (this.#last.get(subject) === gist) return false;
    this.#last.set(subject, gist);
    return true;
  }
}
