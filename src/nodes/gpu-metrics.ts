import type { Gpu, GpuMetricsSpec, GpuReport, HostFacts } from '../fleet/types.ts';
import { parseSamples, type Sample } from './prometheus-text.ts';

/** Far more than one machine's exporter says of what we read. */
const MAX_SAMPLES = 4_096;
const MAX_GPUS = 64;
const MAX_GPU_BYTES = 2 ** 44;
const MAX_HOST_BYTES = 2 ** 50;
const MIB = 2 ** 20;
const MIN_VALID_MS = 5_000;
const MISSED_SCRAPES = 3;
/** NVML's reasons to clock down that mean heat or a lack of power; idling and the usual power limit are none. */
const THROTTLE_BITS = 0x8 | 0x20 | 0x40 | 0x80;

type Figure = 'total' | 'used' | 'free' | 'reserved' | 'utilization' | 'temperature' | 'power' | 'throttle';
type Family = 'dcgm' | 'nvidia_smi' | 'amd' | 'drm';

interface Meaning {
  readonly family: Family;
  readonly figure: Figure | 'index' | 'info';
  /** What one of the exporter's units is of ours: bytes, a share, degrees Celsius, watts. */
  readonly unit: number;
}

const mean = (family: Family, figure: Meaning['figure'], unit = 1): Meaning => ({ family, figure, unit });

/** What the exporters that people run say, by the name of the metric. */
const MEANINGS: Readonly<Record<string, Meaning>> = {
  DCGM_FI_DEV_FB_TOTAL: mean('dcgm', 'total', MIB),
  DCGM_FI_DEV_FB_USED: mean('dcgm', 'used', MIB),
  DCGM_FI_DEV_FB_FREE: mean('dcgm', 'free', MIB),
  DCGM_FI_DEV_FB_RESERVED: mean('dcgm', 'reserved', MIB),
  DCGM_FI_DEV_GPU_UTIL: mean('dcgm', 'utilization', 0.01),
  DCGM_FI_DEV_GPU_TEMP: mean('dcgm', 'temperature'),
  DCGM_FI_DEV_POWER_USAGE: mean('dcgm', 'power'),
  DCGM_FI_DEV_CLOCK_THROTTLE_REASONS: mean('dcgm', 'throttle'),
  DCGM_FI_DEV_CLOCKS_EVENT_REASONS: mean('dcgm', 'throttle'),
  nvidia_smi_memory_total_bytes: mean('nvidia_smi', 'total'),
  nvidia_smi_memory_used_bytes: mean('nvidia_smi', 'used'),
  nvidia_smi_memory_free_bytes: mean('nvidia_smi', 'free'),
  nvidia_smi_memory_reserved_bytes: mean('nvidia_smi', 'reserved'),
  nvidia_smi_utilization_gpu_ratio: mean('nvidia_smi', 'utilization'),
  nvidia_smi_temperature_gpu: mean('nvidia_smi', 'temperature'),
  nvidia_smi_power_draw_watts: mean('nvidia_smi', 'power'),
  nvidia_smi_clocks_event_reasons_active: mean('nvidia_smi', 'throttle'),
  nvidia_smi_clocks_throttle_reasons_active: mean('nvidia_smi', 'throttle'),
  nvidia_smi_index: mean('nvidia_smi', 'index'),
  nvidia_smi_gpu_info: mean('nvidia_smi', 'info'),
  ...amd(''),
  ...amd('amd_'),
  node_drm_memory_vram_size_bytes: mean('drm', 'total'),
  node_drm_memory_vram_used_bytes: mean('drm', 'used'),
  node_drm_gpu_busy_percent: mean('drm', 'utilization', 0.01),
};

/** AMD's exporter; newer versions put its name before each metric. */
function amd(prefix: string): Record<string, Meaning> {
  return {
    [`${prefix}gpu_total_vram`]: mean('amd', 'total', MIB),
    [`${prefix}gpu_used_vram`]: mean('amd', 'used', MIB),
    [`${prefix}gpu_gfx_activity`]: mean('amd', 'utilization', 0.01),
    [`${prefix}gpu_junction_temperature`]: mean('amd', 'temperature'),
    [`${prefix}gpu_edge_temperature`]: mean('amd', 'temperature'),
    [`${prefix}gpu_package_power`]: mean('amd', 'power'),
    [`${prefix}gpu_average_package_power`]: mean('amd', 'power'),
  };
}

const HOST: Readonly<Record<string, keyof HostFacts>> = {
  node_memory_MemTotal_bytes: 'memoryTotalBytes',
  node_memory_MemAvailable_bytes: 'memoryAvailableBytes',
  node_load1: 'load1',
};

interface Found {
  readonly family: Family;
  /** The GPU, and the part of it where it is divided (MIG, partitions). */
  readonly gpu: string;
  readonly part: string;
  index: number | undefined;
  name: string;
  readonly figures: Map<Figure, number>;
}

/** The GPUs that an exporter's text tells of; undefined where it tells of none that match. */
export function parseGpuMetrics(text: string, spec: Pick<GpuMetricsSpec, 'match' | 'intervalMs'>) {
  const samples = parseSamples(
    text,
    (name) => Object.hasOwn(MEANINGS, name) || Object.hasOwn(HOST, name),
    MAX_SAMPLES,
  );
  const found = new Map<string, Found>();
  let host: HostFacts | undefined;
  for (const sample of samples) {
    const fact = HOST[sample.name];
    if (fact !== undefined) {
      if (sample.value >= 0)
        host = {
          ...(host ?? NO_HOST),
          [fact]: Math.min(sample.value, fact === 'load1' ? 1e6 : MAX_HOST_BYTES),
        };
      continue;
    }
    const meaning = MEANINGS[sample.name];
    if (meaning === undefined || !matches(sample, spec.match)) continue;
    note(found, sample, meaning);
  }
  const gpus = withoutDivided([...found.values()])
    .slice(0, MAX_GPUS)
    .map(gpuOf);
  if (gpus.length === 0) return undefined;
  const report: GpuReport = {
    source: 'prometheus',
    validForMs: Math.max(MIN_VALID_MS, spec.intervalMs * MISSED_SCRAPES),
    gpus,
    isUnifiedMemory: false,
    host,
    ollama: undefined,
  };
  return report;
}

const NO_HOST: HostFacts = {
  memoryTotalBytes: undefined,
  memoryAvailableBytes: undefined,
  load1: undefined,
  cpus: undefined,
  diskFreeBytes: undefined,
};

function matches({ labels }: Sample, match: GpuMetricsSpec['match']): boolean {
  return Object.entries(match).every(([label, value]) => labels.get(label) === value);
}

function note(found: Map<string, Found>, sample: Sample, { family, figure, unit }: Meaning): void {
  const { labels, value } = sample;
  const gpu = first(labels, 'UUID', 'uuid', 'gpu_uuid', 'gpu', 'gpu_id', 'card', 'minor_number') ?? '0';
  const part = first(labels, 'GPU_I_ID', 'gpu_partition_id', 'partition_id') ?? '';
  // AMD lists a GPU that is one whole as its partition 0.
  const key = `${family}\n${gpu}\n${part}`;
  let entry = found.get(key);
  if (entry === undefined) {
    if (found.size >= 4 * MAX_GPUS) return;
    entry = { family, gpu, part, index: undefined, name: '', figures: new Map() };
    found.set(key, entry);
  }
  entry.name ||= printable(first(labels, 'modelName', 'card_model', 'card_series', 'name') ?? '');
  entry.index ??= indexOf(first(labels, 'gpu', 'gpu_id', 'index', 'minor_number') ?? /\d+$/.exec(gpu)?.[0]);
  if (figure === 'index') entry.index = indexOf(String(value));
  if (figure === 'info' || figure === 'index') return;
  const scaled = bounded(figure, value * (unit === MIB && value > 2 ** 26 ? 1 : unit));
  if (scaled === undefined) return;
  // A GPU that several pods share is told of once for each.
  entry.figures.set(figure, Math.max(scaled, entry.figures.get(figure) ?? scaled));
}

/** DCGM writes huge numbers for what a GPU does not tell, other tools -1. */
function bounded(figure: Figure, value: number): number | undefined {
  if (figure === 'temperature') return value > 0 && value <= 200 ? value : undefined;
  if (figure === 'power') return value >= 0 && value <= 10_000 ? value : undefined;
  if (figure === 'utilization') return value >= 0 && value <= 1 ? value : undefined;
  if (figure === 'throttle') return value >= 0 && value < 2 ** 31 - 32 ? value : undefined;
  return value >= 0 && value <= MAX_GPU_BYTES ? Math.round(value) : undefined;
}

/** Where the parts of a GPU have memory of their own, the whole must not be counted beside them. */
function withoutDivided(all: readonly Found[]): Found[] {
  const divided = new Set(
    all.filter(({ part, figures }) => part !== '' && hasMemory(figures)).map(({ gpu }) => gpu),
  );
  return all.filter(
    ({ part, gpu, figures }) => (part === '' ? !divided.has(gpu) : hasMemory(figures)) && figures.size > 0,
  );
}

function hasMemory(figures: ReadonlyMap<Figure, number>): boolean {
  return figures.has('total') || figures.has('used') || figures.has('free');
}

function gpuOf({ family, index, name, figures }: Found, position: number): Gpu {
  const used = figures.get('used');
  const free = figures.get('free');
  const sum =
    used === undefined || free === undefined ? undefined : used + free + (figures.get('reserved') ?? 0);
  const total = figures.get('total') ?? sum;
  const throttle = figures.get('throttle');
  return {
    index: index ?? position,
    name,
    vendor: family === 'amd' || family === 'drm' ? 'amd' : 'nvidia',
    vramTotalBytes: total,
    vramUsedBytes: used === undefined || total === undefined ? used : Math.min(used, total),
    utilization: figures.get('utilization'),
    temperatureC: figures.get('temperature'),
    powerW: figures.get('power'),
    isThrottled: throttle === undefined ? undefined : (throttle & THROTTLE_BITS) !== 0,
  };
}

function first(labels: ReadonlyMap<string, string>, ...names: readonly string[]): string | undefined {
  for (const name of names) {
    const value = labels.get(name);
    if (value !== undefined && value !== '') return value;
  }
  return undefined;
}

function indexOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,3}$/.test(text) ? Number(text) : undefined;
}

/** Printable ASCII, bounded: it is shown in tables. */
function printable(text: string): string {
  return text
    .slice(0, 128)
    .replace(/[^\x20-\x7e]/g, '')
    .trim();
}
