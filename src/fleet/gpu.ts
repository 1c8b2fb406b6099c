import type { GpuReport, Learnt, NodeRecord, SlotsSource, VramSource } from './types.ts';

/** Best first, as the sources of VRAM are ordered. */
const SOURCES = ['agent', 'prometheus'] as const satisfies readonly GpuReport['source'][];

export interface DatedReport {
  readonly report: GpuReport;
  /** Monotonic ms. */
  readonly at: number;
}

/** The reports that may be used now, best first. */
export function freshReports(gpu: NodeRecord['gpu'], now: number): readonly DatedReport[] {
  if (gpu.agent === undefined && gpu.prometheus === undefined) return NONE;
  const fresh: DatedReport[] = [];
  for (const source of SOURCES) {
    const dated = gpu[source];
    if (dated !== undefined && now - dated.at <= dated.report.validForMs) fresh.push(dated);
  }
  return fresh;
}

const NONE: readonly DatedReport[] = [];

export interface VramFacts {
  /** Of all GPUs together; undefined: nobody knows. */
  readonly totalBytes: number | undefined;
  readonly source: VramSource;
  /** Monotonic ms of the report that the total comes from; undefined where it is configured or learnt. */
  readonly at: number | undefined;
  /** Taken by models, or by anybody as far as a fresh report tells. */
  readonly usedBytes: number;
}

/**
 * A node's VRAM by the best source that says it: an agent, an exporter, the configuration, experience. `residentBytes` is
 * what the models in its memory take, which Ollama's own list tells sooner than any report; what a report says beyond it
 * belongs to other programs.
 */
export function vramOf(
  node: Pick<NodeRecord, 'spec' | 'learnt'>,
  fresh: readonly DatedReport[],
  residentBytes: number,
): VramFacts {
  let usedBytes = residentBytes;
  for (const { report } of fresh) {
    const reported = sum(report, 'vramUsedBytes');
    if (reported === undefined) continue;
    usedBytes = Math.max(residentBytes, reported);
    break;
  }
  for (const { report, at } of fresh) {
    const totalBytes = sum(report, 'vramTotalBytes');
    if (totalBytes !== undefined && totalBytes > 0)
      return { totalBytes, source: report.source, at, usedBytes };
  }
  const configured = node.spec.vramBytes;
  if (configured !== undefined) {
    return { totalBytes: configured, source: 'configured', at: undefined, usedBytes };
  }
  const learnt = learntVram(node.learnt);
  return {
    totalBytes: learnt,
    source: learnt === undefined ? 'unknown' : 'learnt',
    at: undefined,
    usedBytes,
  };
}

/**
 * Experience tells the VRAM of a node only once something did not fit. Then it lies between what was seen to fit and what
 * drove a model out; the lower bound is promised, so that nothing is sent where it might evict.
 */
export function learntVram({ maxVramSeenBytes, vramCeilingBytes }: Learnt): number | undefined {
  return vramCeilingBytes !== undefined && maxVramSeenBytes > 0 ? maxVramSeenBytes : undefined;
}

/** Requests that a node runs at once for one model, and who says so. */
export function slotsOf(
  { spec, learnt }: Pick<NodeRecord, 'spec' | 'learnt'>,
  fresh: readonly DatedReport[],
): { readonly slots: number; readonly source: SlotsSource } {
  if (spec.slots !== undefined) return { slots: spec.slots, source: 'configured' };
  for (const { report } of fresh) {
    const parallel = report.ollama?.parallel;
    if (parallel !== undefined && parallel >= 1) return { slots: parallel, source: 'agent' };
  }
  return { slots: learnt.slots, source: 'learnt' };
}

export function isThrottled(fresh: readonly DatedReport[]): boolean {
  return fresh.some(({ report }) => report.gpus.some((gpu) => gpu.isThrottled === true));
}

/** Undefined where no GPU of the report tells it: a GPU that does not may be one that Ollama cannot use either. */
function sum({ gpus }: GpuReport, figure: 'vramTotalBytes' | 'vramUsedBytes'): number | undefined {
  let total: number | undefined;
  for (const gpu of gpus) {
    const value = gpu[figure];
    if (value !== undefined && value >= 0) total = (total ?? 0) + value;
  }
  return total;
}
