import { readFileSync, renameSync } from 'node:fs';
import { mkdir, open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';
import type { Log } from '../../app/log.ts';
import { type DocumentKind, StoreError } from '../contract.ts';

export type Documents = Record<DocumentKind, Map<string, unknown>>;

const MAX_FILE_BYTES = 64 * 1024 * 1024;
/** Pairs: an id may be any text, and not every one is safe as a key of an object. */
const section = z.array(z.tuple([z.string(), z.unknown()])).default([]);
const fileSchema = z.object({ version: z.literal(1), drains: section, registry: section, learnt: section });

export function noDocuments(): Documents {
  return { drains: new Map(), registry: new Map(), learnt: new Map() };
}

/** The documents of a process without Redis, as one JSON file that only its user can read. */
export class DocumentFile {
  readonly #path: string;
  readonly #log: Log;
  #next: (() => string) | undefined;
  #writing: Promise<void> | undefined;

  constructor(path: string, log: Log) {
    this.#path = path;
    this.#log = log;
  }

  /** What was saved last; nothing where there is no file. One that cannot be used is set aside, never fatal. */
  load(): Documents {
    let text: string;
    try {
      text = readFileSync(this.#path, 'utf8');
    } catch (error) {
      if (codeOf(error) !== 'ENOENT')
        this.#log.warn(
          { err: error },
          `cannot read ${this.#path}: drains and found nodes of before are unknown`,
        );
      return noDocuments();
    }
    try {
      if (text.length > MAX_FILE_BYTES) throw new Error(`is longer than ${MAX_FILE_BYTES} bytes`);
      const { drains, registry, learnt } = fileSchema.parse(JSON.parse(text));
      return { drains: new Map(drains), registry: new Map(registry), learnt: new Map(learnt) };
    } catch (error) {
      this.#setAside(error);
      return noDocuments();
    }
  }

  /** Resolves when `documents`, as they are then, are on the disk. Calls that come while it writes share the next write. */
  async save(documents: Documents): Promise<void> {
    const isFirst = this.#next === undefined;
    this.#next = () => textOf(documents);
    if (!isFirst) return this.#writing;
    const before = this.#writing ?? Promise.resolve();
    const writing = before.then(
      () => this.#write(),
      () => this.#write(),
    );
    this.#writing = writing;
    return writing;
  }

  async #write(): Promise<void> {
    const text = this.#next?.() ?? '';
    this.#next = undefined;
    const temporary = `${this.#path}.new`;
    try {
      await mkdir(dirname(this.#path), { recursive: true, mode: 0o700 });
      const file = await open(temporary, 'w', 0o600);
      try {
        await file.chmod(0o600);
        await file.writeFile(text);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(temporary, this.#path);
    } catch (error) {
      throw new StoreError(
        'refused',
        `cannot write ${this.#path} (${codeOf(error) ?? 'unknown error'}): the change holds until this process ends`,
        error,
      );
    }
  }

  #setAside(reason: unknown): void {
    const aside = `${this.#path}.unusable`;
    try {
      renameSync(this.#path, aside);
    } catch {
      // The next save replaces the file; that it cannot be kept is no reason to stop.
    }
    this.#log.warn(
      { err: reason },
      `${this.#path} is not what Warmpath writes; it is now ${aside}, and drains and found nodes start empty`,
    );
  }
}

function textOf(documents: Documents): string {
  return JSON.stringify({
    version: 1,
    drains: [...documents.drains],
    registry: [...documents.registry],
    learnt: [...documents.learnt],
  });
}

function codeOf(error: unknown): string | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : undefined;
}
