import { statfs } from 'node:fs/promises';
import { availableParallelism, freemem, loadavg, platform, totalmem } from 'node:os';
import { dirname } from 'node:path';
import { mem } from 'systeminformation';
import type { AgentReport } from '../app/agents/agent-protocol.ts';

export type HostFacts = NonNullable<AgentReport['host']>;

/** Memory, load and free disk of this machine. Never rejects: what cannot be read is left out. */
export async function readHostFacts(modelsDir: string): Promise<HostFacts> {
  const [memory, diskFreeBytes] = await Promise.all([readMemory(), diskFree(modelsDir)]);
  const [load1 = 0] = loadavg();
  return {
    memoryTotalBytes: memory.total,
    memoryAvailableBytes: memory.available,
    // Windows has no load average and Node answers 0.
    load1: platform() === 'win32' ? undefined : load1,
    cpus: availableParallelism(),
    diskFreeBytes,
  };
}

/** What programs may still take: caches that can be dropped count as free, also on macOS. */
async function readMemory(): Promise<{ total: number; available: number }> {
  const { total, available } = await mem().catch(() => ({ total: 0, available: 0 }));
  if (total > 0 && available > 0 && available <= total) return { total, available };
  return { total: totalmem(), available: freemem() };
}

/** Free space for an ordinary user where the models lie, or will lie: of the nearest directory above that exists. */
export async function diskFree(path: string): Promise<number | undefined> {
  for (let dir = path; ; dir = dirname(dir)) {
    try {
      const { bavail, bsize } = await statfs(dir);
      return bavail * bsize;
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined;
      if ((code !== 'ENOENT' && code !== 'EACCES') || dirname(dir) === dir) return undefined;
    }
  }
}
