import { randomUUID } from 'node:crypto';
import { link, readFile, rm, writeFile } from 'node:fs/promises';
import type { Clock } from '../../app/ports.ts';

const POLL_MS = 200;

/** Runs `work` while no other process of this machine holds `path`. A lock whose holder died is taken over. */
export async function withLock<T>(
  path: string,
  clock: Clock,
  work: () => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  while (!(await take(path))) {
    signal.throwIfAborted();
    if (!(await holderLives(path))) await rm(path, { force: true });
    else await clock.sleep(POLL_MS, signal);
  }
  try {
    return await work();
  } finally {
    await rm(path, { force: true });
  }
}

/** By a hard link, so that the lock never exists without its holder's number. */
async function take(path: string): Promise<boolean> {
  const own = `${path}.${randomUUID()}`;
  await writeFile(own, String(process.pid));
  try {
    await link(own, path);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  } finally {
    await rm(own, { force: true });
  }
}

async function holderLives(path: string): Promise<boolean> {
  const pid = Number(await readFile(path, 'utf8').catch(() => '0'));
  // Released meanwhile: the next attempt may take it.
  if (!Number.isInteger(pid) || pid <= 0) return true;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
