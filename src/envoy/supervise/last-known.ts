import { writeFile } from 'node:fs/promises';

/** Envoy does not start without the file; what an earlier run wrote stays. */
export async function ensureLastKnown(path: string): Promise<void> {
  try {
    await writeFile(path, JSON.stringify({ version_info: '0', resources: [] }), { flag: 'wx', mode: 0o600 });
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  }
}
