import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** A program that some tests need and a machine may lack. */
export interface RealProgram {
  readonly name: string;
  /** undefined: not on this machine, and `missing` says what to do about it. */
  readonly path: string | undefined;
  readonly missing: string;
  /** Too large to be had everywhere: tests that need it may be skipped even where CI=true. */
  readonly mayLack?: boolean;
}

/** First of these paths that can be executed. */
export function firstExecutable(paths: readonly (string | undefined)[]): string | undefined {
  return paths.find((path) => path !== undefined && path !== '' && isExecutable(path));
}

/** Where PATH may have `name`, in its order. */
export function onPath(name: string): string[] {
  return (process.env.PATH ?? '')
    .split(delimiter)
    .filter(Boolean)
    .map((folder) => join(folder, name));
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
