import { readFile, rm, writeFile } from 'node:fs/promises';
import type { Clock } from '../../app/ports.ts';

/** What the search for an orphan asks of the operating system. */
export interface Processes {
  /** The command line of a process; undefined where there is no such process. */
  commandLine(pid: number): Promise<string | undefined>;
  kill(pid: number, signal: NodeJS.Signals): void;
}

export const processes: Processes = {
  commandLine: async (pid) => {
    const text = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => undefined);
    return text === undefined || text === '' ? undefined : text.replaceAll('\0', ' ');
  },
  kill: (pid, signal) => {
    try {
      process.kill(pid, signal);
    } catch {
      // gone meanwhile, which is what was wanted
    }
  },
};

const GRACE_MS = 3_000;
const POLL_MS = 50;

/** Remembers which process is ours, so that a later start can find it. */
export async function writePid(pidFile: string, pid: number): Promise<void> {
  await writeFile(pidFile, `${pid}\n`, { mode: 0o600 });
}

/**
 * Ends the Envoy that a killed supervisor left behind: it would hold the port. Only a process whose command line
 * names our own bootstrap file counts; numbers are reused. Returns its number, undefined where there was none.
 */
export async function endOrphan(
  pidFile: string,
  bootstrapFile: string,
  os: Processes,
  clock: Clock,
  signal: AbortSignal,
): Promise<number | undefined> {
  const pid = Number(await readFile(pidFile, 'utf8').catch(() => ''));
  await rm(pidFile, { force: true });
  if (!Number.isInteger(pid) || pid <= 1) return undefined;
  const isOurs = async () => (await os.commandLine(pid))?.includes(bootstrapFile) ?? false;
  if (!(await isOurs())) return undefined;
  os.kill(pid, 'SIGTERM');
  const deadline = clock.now() + GRACE_MS;
  while ((await isOurs()) && clock.now() < deadline && !signal.aborted) await clock.sleep(POLL_MS, signal);
  os.kill(pid, 'SIGKILL');
  return pid;
}
