import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Processes } from '../envoy/supervise/orphan.ts';

/**
 * Claims the state directory for this supervisor; the function returned gives it back. Throws while another one runs on
 * it: each would take the other's Envoy for one that was left behind.
 */
export async function claimStateDir(
  stateDir: string,
  script: string,
  os: Processes,
): Promise<() => Promise<void>> {
  const file = join(stateDir, 'supervisor.pid');
  const pid = Number(await readFile(file, 'utf8').catch(() => ''));
  // Numbers are reused: only a process that runs this very program counts.
  const isRunning =
    Number.isInteger(pid) &&
    pid > 1 &&
    pid !== process.pid &&
    ((await os.commandLine(pid))?.includes(script) ?? false);
  if (isRunning)
    throw new Error(
      `another warmpath runs on this state directory (process ${pid}): stop it, or use another --state-dir`,
    );
  await writeFile(file, `${process.pid}\n`, { mode: 0o600 });
  return () => rm(file, { force: true });
}
