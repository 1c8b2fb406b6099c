import { bytesOf, celsius, deviceName, type SeenGpu, shareOf, toolNumber, watts } from './reading.ts';

const MIB = 1024 * 1024;
/**
 * Slowed by hardware, heat or the power supply. Bit 0x4, the power cap in software, is left out: a card that works at
 * its rated power shows it all the time.
 */
const THROTTLED = 0x8n | 0x20n | 0x40n | 0x80n;
/** Chips without memory of their own: nvidia-smi has no figures for it. */
const UNIFIED = /\b(?:GB10|N1X?|Thor|Orin|Xavier|Tegra|nvgpu)\b/i;

/** What is asked for; where a driver does not know a name, the next of its row is tried, then it is done without. */
export const NVIDIA_FIELDS = [
  ['index'],
  ['uuid'],
  ['name'],
  ['memory.total'],
  ['memory.used'],
  ['utilization.gpu'],
  ['temperature.gpu'],
  ['power.draw'],
  // Since driver 535 and 450; before 535 the reasons had another name.
  ['clocks_event_reasons.active', 'clocks_throttle_reasons.active'],
  ['mig.mode.current'],
] as const;

export interface NvidiaRow {
  readonly gpu: SeenGpu;
  readonly hasMig: boolean;
}

/** The field that this driver does not know, if that is its complaint. */
export function unknownField(stdout: string): string | undefined {
  return /Field "([a-z0-9_.]{1,64})" is not a valid field to query/.exec(stdout.slice(0, 4_096))?.[1];
}

/** Rows of `nvidia-smi --query-gpu=FIELDS --format=csv,noheader,nounits`; what is no such row is left out. */
export function parseNvidiaCsv(csv: string, fields: readonly string[]): NvidiaRow[] {
  return csv
    .split('\n')
    .slice(0, 64)
    .flatMap((line) => {
      const values = line.split(',').map((value) => value.trim());
      if (values.length !== fields.length) return [];
      const row = parseRow((field) => values[fields.indexOf(field)] ?? '');
      return row === undefined ? [] : [row];
    });
}

function parseRow(value: (field: string) => string): NvidiaRow | undefined {
  const index = toolNumber(value('index'));
  if (index === undefined || !Number.isInteger(index) || index < 0 || index > 1023) return undefined;
  const name = deviceName(value('name'), 'NVIDIA GPU');
  const hasMig = value('mig.mode.current') === 'Enabled';
  const total = bytesOf(toolNumber(value('memory.total')), MIB);
  const uuid = value('uuid');
  const gpu: SeenGpu = {
    index,
    name,
    vendor: 'nvidia',
    vramTotalBytes: total === 0 ? undefined : total,
    vramUsedBytes: total === 0 ? undefined : bytesOf(toolNumber(value('memory.used')), MIB),
    utilization: shareOf(toolNumber(value('utilization.gpu'))),
    temperatureC: celsius(toolNumber(value('temperature.gpu'))),
    powerW: watts(toolNumber(value('power.draw'))),
    isThrottled: throttled(value('clocks_event_reasons.active') || value('clocks_throttle_reasons.active')),
    uuid: /^GPU-[0-9a-f-]{8,64}$/i.test(uuid) ? uuid : undefined,
    // A MIG slice or missing rights hide the memory as well: only the name tells.
    isIntegrated: total === undefined && !hasMig && UNIFIED.test(name),
  };
  return { gpu, hasMig };
}

function throttled(mask: string): boolean | undefined {
  if (!/^0x[0-9a-f]{1,16}$/i.test(mask)) return undefined;
  return (BigInt(mask) & THROTTLED) !== 0n;
}
