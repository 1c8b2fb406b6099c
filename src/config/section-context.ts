import { resolve } from 'node:path';
import type { Path, Problem } from './problem.ts';

/** What the checks of one section share: where its relative paths start, and where its problems go. */
export class SectionContext {
  readonly problems: Problem[] = [];
  /** Files that were read, absolute. */
  readonly files: string[] = [];
  readonly #baseDir: string;
  readonly #isOverridden: (path: Path) => boolean;

  /** `isOverridden` tells whether a setting comes from the environment or a flag. */
  constructor(baseDir: string, isOverridden: (path: Path) => boolean) {
    this.#baseDir = baseDir;
    this.#isOverridden = isOverridden;
  }

  fail(path: Path, message: string): void {
    this.problems.push({ path, message });
  }

  isOverridden(path: Path): boolean {
    return this.#isOverridden(path);
  }

  /** Absolute; undefined where there is none, or it is no path. */
  pathOf(value: unknown): string | undefined {
    return typeof value === 'string' && value !== '' ? resolve(this.#baseDir, value) : undefined;
  }

  noteFile(path: string): string {
    this.files.push(path);
    return path;
  }
}

/** A copy of a section of untrusted input; empty where it is none. */
export function asRecord(value: unknown): Readonly<Record<string, unknown>> {
  return isSection(value) ? { ...value } : {};
}

export function isSection(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
