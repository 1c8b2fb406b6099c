import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface TempDir {
  readonly path: string;
  remove(): void;
}

const open = new Set<string>();

process.once('exit', () => {
  for (const path of open) removeTree(path);
});

/** A new directory, gone at the latest when this process ends. Short, because Unix socket paths must be. */
export function tempDir(prefix = 'wp-'): TempDir {
  const path = mkdtempSync(join(tmpdir(), prefix));
  open.add(path);
  return {
    path,
    remove: () => {
      open.delete(path);
      removeTree(path);
    },
  };
}

function removeTree(path: string): void {
  rmSync(path, { recursive: true, force: true, maxRetries: 3 });
}
