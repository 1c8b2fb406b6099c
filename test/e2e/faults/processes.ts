import { readFileSync } from 'node:fs';
import { waitFor } from '../../support/wait-for.ts';

/** Whether a process exists and is no zombie. */
export function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return !/^\d+ \(.*\) Z/s.test(stat);
  } catch {
    return false;
  }
}

export function waitForEnd(pid: number, timeoutMs = 5_000): Promise<unknown> {
  return waitFor(`process ${pid} to end`, () => !isAlive(pid), { timeoutMs, intervalMs: 5 });
}

/** Resident memory of a process, MiB. */
export function rssMib(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024;
}
