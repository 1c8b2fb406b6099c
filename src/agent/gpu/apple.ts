import { bytesOf, type ReportedGpu, shareOf } from './reading.ts';

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;

/**
 * How much of the host's memory Metal lets the GPU take: the limit that the owner set (`iogpu.wired_limit_mb`), else two
 * thirds up to 36 GiB and three quarters above, as macOS does.
 */
export function appleMemory(hostBytes: number, wiredLimit: string): number {
  const limit = /^\s*(\d{1,9})\s*$/.exec(wiredLimit)?.[1];
  if (limit !== undefined && Number(limit) > 0) return Math.min(Number(limit) * MIB, hostBytes);
  return Math.floor(hostBytes <= 36 * GIB ? (hostBytes * 2) / 3 : (hostBytes * 3) / 4);
}

/** What `ioreg -r -d 1 -w 0 -c IOAccelerator` shows of the GPU's work; it needs no rights. */
export function parseIoreg(stdout: string): Partial<ReportedGpu> {
  const statistics = /"PerformanceStatistics" = \{([^}]{0,10000})\}/.exec(stdout)?.[1];
  if (statistics === undefined) return {};
  const read = (name: string): number | undefined => {
    const value = new RegExp(`"${name}"=(\\d{1,15})(?:,|$)`).exec(statistics)?.[1];
    return value === undefined ? undefined : Number(value);
  };
  return {
    utilization: shareOf(read('Device Utilization %')),
    vramUsedBytes: bytesOf(read('In use system memory'), 1),
  };
}
