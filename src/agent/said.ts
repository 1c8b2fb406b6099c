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

  /** Warnings that hold now, each about what its first word names; what was said before and holds no more is forgotten. */
  warnings(topic: string, texts: readonly string[]): void {
    const subjects = new Map(texts.map((text) => [`${topic} ${text.split(' ')[0]}`, text]));
    for (const known of [...this.#last.keys()]) {
      if (known.startsWith(`${topic} `) && !subjects.has(known)) this.#last.delete(known);
    }
    for (const [subject, text] of subjects) this.warn(subject, {}, text);
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
