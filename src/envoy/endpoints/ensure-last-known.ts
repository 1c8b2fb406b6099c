import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';

/** What Envoy starts from where nothing was ever known: a file without the resource is ready at once. */
export const NOTHING_KNOWN = JSON.stringify({ version_info: '0', resources: [] });

/** Makes the file of last known nodes where there is none: Envoy does not start without. What an earlier run wrote stays. */
export async function ensureLastKnown(path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  try {
    await writeFile(path, NOTHING_KNOWN, { flag: 'wx', mode: 0o600 });
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  }
}
