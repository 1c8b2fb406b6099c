import { z } from 'zod';
import { freshReports, slotsOf, vramOf } from '../fleet/gpu.ts';
import type { Gpu, HostFacts, NodeRecord, NodeView } from '../fleet/types.ts';

const figure = z.number().nullable();
/** Since it was told; null where it is configured or learnt. */
const ageMs = z.number().nullable();

/** Requests that a node runs at once for one model, and who says so. */
export const slotsFigure = z.object({
  value: z.number(),
  source: z.enum(['configured', 'agent', 'learnt']),
  ageMs,
});

export const vramFigure = z.object({
  usedBytes: z.number(),
  totalBytes: z.number().nullable(),
  source: z.enum(['agent', 'prometheus', 'configured', 'learnt', 'unknown']),
  ageMs,
  /** What was seen to fit. */
  maxSeenBytes: z.number(),
  /** What drove a model out; null where that was not seen. */
  ceilingBytes: z.number().nullable(),
});

export const gpuReport = z.object({
  source: z.enum(['agent', 'prometheus']),
  ageMs: z.number(),
  /** False: too old, nothing relies on it. */
  isFresh: z.boolean(),
  isUnifiedMemory: z.boolean(),
  gpus: z.array(
    z.object({
      index: z.number(),
      name: z.string(),
      vendor: z.enum(['nvidia', 'amd', 'apple', 'intel', 'other']),
      vramTotalBytes: figure,
      vramUsedBytes: figure,
      /** 0 to 1. */
      utilization: figure,
      temperatureC: figure,
      powerW: figure,
      isThrottled: z.boolean().nullable(),
    }),
  ),
  host: z
    .object({
      memoryTotalBytes: figure,
      memoryAvailableBytes: figure,
      load1: figure,
      cpus: figure,
      diskFreeBytes: figure,
    })
    .nullable(),
});

export type SlotsFigure = z.infer<typeof slotsFigure>;
export type VramFigure = z.infer<typeof vramFigure>;
export type GpuReportShown = z.infer<typeof gpuReport>;

/** A node's slots and VRAM with their sources, from its view or, before it has one, from what is known of it. */
export function nodeFigures(
  record: NodeRecord,
  view: NodeView | undefined,
  now: number,
): { slots: SlotsFigure; vram: VramFigure } {
  const { learnt, gpu } = record;
  const fresh = freshReports(gpu, now);
  const age = (at: number | undefined): number | null => (at === undefined ? null : Math.max(0, now - at));
  const slots = slotsOf(record, fresh);
  const vram = vramOf(record, fresh, view?.vramUsedBytes ?? residentBytes(record));
  return {
    slots: {
      value: slots.slots,
      source: slots.source,
      ageMs: slots.source === 'agent' ? age(gpu.agent?.at) : null,
    },
    vram: {
      usedBytes: vram.usedBytes,
      totalBytes: vram.totalBytes ?? null,
      source: vram.source,
      ageMs: age(vram.at),
      maxSeenBytes: learnt.maxVramSeenBytes,
      ceilingBytes: learnt.vramCeilingBytes ?? null,
    },
  };
}

/** The best report there is, the freshest kind first; a stale one is marked so. */
export function gpuReportOf({ gpu }: NodeRecord, now: number): GpuReportShown | null {
  const [fresh] = freshReports(gpu, now);
  const dated = fresh ?? gpu.agent ?? gpu.prometheus;
  if (dated === undefined) return null;
  const { report, at } = dated;
  return {
    source: report.source,
    ageMs: Math.max(0, now - at),
    isFresh: fresh !== undefined,
    isUnifiedMemory: report.isUnifiedMemory,
    gpus: report.gpus.map(gpuShown),
    host: report.host === undefined ? null : hostShown(report.host),
  };
}

function gpuShown(gpu: Gpu): GpuReportShown['gpus'][number] {
  return {
    index: gpu.index,
    name: gpu.name,
    vendor: gpu.vendor,
    vramTotalBytes: gpu.vramTotalBytes ?? null,
    vramUsedBytes: gpu.vramUsedBytes ?? null,
    utilization: gpu.utilization ?? null,
    temperatureC: gpu.temperatureC ?? null,
    powerW: gpu.powerW ?? null,
    isThrottled: gpu.isThrottled ?? null,
  };
}

function hostShown(host: HostFacts): NonNullable<GpuReportShown['host']> {
  return {
    memoryTotalBytes: host.memoryTotalBytes ?? null,
    memoryAvailableBytes: host.memoryAvailableBytes ?? null,
    load1: host.load1 ?? null,
    cpus: host.cpus ?? null,
    diskFreeBytes: host.diskFreeBytes ?? null,
  };
}

function residentBytes({ resident }: NodeRecord): number {
  let bytes = 0;
  for (const model of resident.values()) bytes += model.vramBytes;
  return bytes;
}
