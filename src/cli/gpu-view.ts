import type { GpuReportShown, SlotsFigure, VramFigure } from '../api/gpu-report.ts';
import type { NodeReport } from '../api/status-schema.ts';
import { type Column, renderTable } from './table.ts';
import { displayText, type Paint } from './terminal.ts';
import { formatAge, formatBytes } from './units.ts';

/** A fleet of more GPUs is read by machine. */
const MAX_GPUS = 64;
const NONE = '–';

const SOURCES: Record<VramFigure['source'], string> = {
  agent: 'agent',
  prometheus: 'exporter',
  configured: 'configured',
  learnt: 'learnt',
  unknown: 'unknown',
};

/** `12.0 GiB of 24.0 GiB`; what nobody said is an estimate. */
export function vramText({ usedBytes, totalBytes, source }: VramFigure): string {
  const used = formatBytes(usedBytes);
  if (totalBytes === null) return used;
  return `${used} of ${source === 'learnt' ? '~' : ''}${formatBytes(totalBytes)}`;
}

/** `agent, 3 s ago`. */
export function sourceText({ source, ageMs }: Pick<VramFigure | SlotsFigure, 'source' | 'ageMs'>): string {
  return ageMs === null ? SOURCES[source] : `${SOURCES[source]}, ${formatAge(ageMs)} ago`;
}

/** One line for each GPU that somebody tells of, and for the machine around them; undefined where nobody does. */
export function gpuTable(nodes: readonly NodeReport[], paint: Paint, width: number): string | undefined {
  const told = nodes.flatMap(({ name, gpu }) => (gpu === null ? [] : [{ name, gpu }]));
  if (told.length === 0) return undefined;
  const head = (title: string, rest: Omit<Column, 'title'> = {}): Column => ({
    title: paint('dim', title),
    ...rest,
  });
  const columns = [
    head('NODE', { isFlexible: true }),
    head('GPU', { isFlexible: true }),
    head('USE', { align: 'right' }),
    head('TEMP', { align: 'right' }),
    head('POWER', { align: 'right' }),
    head('VRAM', { align: 'right' }),
    head('HOST FREE'),
    head('TOLD BY'),
  ];
  const rows = told.flatMap(({ name, gpu }) => rowsOf(name, gpu, paint));
  const table = renderTable(columns, rows.slice(0, MAX_GPUS), width);
  return rows.length > MAX_GPUS ? `${table}and ${rows.length - MAX_GPUS} more GPUs\n` : table;
}

function rowsOf(name: string, report: GpuReportShown, paint: Paint): string[][] {
  const stale = report.isFresh ? '' : paint('yellow', ', too old');
  const teller = `${sourceText(report)}${stale}`;
  const host = hostText(report);
  if (report.gpus.length === 0) return [[displayText(name), 'none', NONE, NONE, NONE, NONE, host, teller]];
  return report.gpus.map((gpu, position) => {
    const temperature = gpu.temperatureC === null ? NONE : `${Math.round(gpu.temperatureC)} °C`;
    return [
      position === 0 ? displayText(name) : '',
      `${gpu.index} ${shortName(gpu.name)}`.trim(),
      gpu.utilization === null ? NONE : `${Math.round(gpu.utilization * 100)} %`,
      gpu.isThrottled === true ? paint('red', `${temperature} throttled`) : temperature,
      gpu.powerW === null ? NONE : `${Math.round(gpu.powerW)} W`,
      memoryText(gpu),
      position === 0 ? host : '',
      position === 0 ? teller : '',
    ];
  });
}

/** Without what every card of its maker is called. */
function shortName(name: string): string {
  return displayText(name).replace(/^(?:NVIDIA|AMD) (?:GeForce |Radeon )?/, '');
}

function memoryText({ vramUsedBytes, vramTotalBytes }: GpuReportShown['gpus'][number]): string {
  const used = vramUsedBytes === null ? NONE : formatBytes(vramUsedBytes);
  return vramTotalBytes === null ? used : `${used} of ${formatBytes(vramTotalBytes)}`;
}

/** Memory, and the disk where models are kept. */
function hostText({ host }: GpuReportShown): string {
  const memory = host?.memoryAvailableBytes ?? null;
  const disk = host?.diskFreeBytes ?? null;
  const parts = [
    ...(memory === null ? [] : [formatBytes(memory)]),
    ...(disk === null ? [] : [`disk ${formatBytes(disk)}`]),
  ];
  return parts.length === 0 ? NONE : parts.join(', ');
}
