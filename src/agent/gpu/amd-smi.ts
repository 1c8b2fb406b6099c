import { apuMemory, isApu } from './amd-apu.ts';
import { type Fields, fieldsOf, jsonIn } from './parse-object.ts';
import { bytesOf, celsius, deviceName, type SeenGpu, shareOf, toolNumber, watts } from './reading.ts';

export const AMD_SMI_METRIC_ARGS = ['metric', '--json'];
/** Names; they do not change. */
export const AMD_SMI_STATIC_ARGS = ['static', '--asic', '--json'];

const UNITS: Readonly<Record<string, number>> = {
  B: 1,
  KB: 1024,
  MB: 1024 ** 2,
  GB: 1024 ** 3,
};

/** GPUs in the JSON of `amd-smi metric`, named by that of `amd-smi static`; both as ROCm 6 and as ROCm 7 write it. */
export function parseAmdSmi(metric: string, asic: string): SeenGpu[] {
  const asics = new Map(listOf(asic).map((gpu) => [gpu.gpu, fieldsOf(gpu.asic)]));
  return listOf(metric).flatMap((gpu) => {
    const index = toolNumber(gpu.gpu);
    if (index === undefined || !Number.isInteger(index) || index < 0 || index > 1023) return [];
    return [parseGpu(index, gpu, asics.get(gpu.gpu) ?? {})];
  });
}

/** A bare list before ROCm 7, `{gpu_data: [...]}` since. */
function listOf(stdout: string): Fields[] {
  const json = jsonIn(stdout);
  const list = Array.isArray(json) ? json : fieldsOf(json).gpu_data;
  return Array.isArray(list) ? list.slice(0, 64).map(fieldsOf) : [];
}

function parseGpu(index: number, gpu: Fields, asic: Fields): SeenGpu {
  const memory = fieldsOf(gpu.mem_usage);
  const temperature = fieldsOf(gpu.temperature);
  const power = fieldsOf(gpu.power);
  const isIntegrated = isApu(asic.target_graphics_version, [asic.market_name]);
  const throttle = typeof power.throttle_status === 'string' ? power.throttle_status : '';
  return {
    index,
    name: deviceName(asic.market_name, 'AMD GPU'),
    vendor: 'amd',
    vramTotalBytes: apuMemory(sizeOf(memory.total_vram), sizeOf(memory.total_gtt), isIntegrated),
    vramUsedBytes: apuMemory(sizeOf(memory.used_vram), sizeOf(memory.used_gtt), isIntegrated),
    utilization: shareOf(figureOf(fieldsOf(gpu.usage).gfx_activity)),
    temperatureC: celsius(figureOf(temperature.edge) ?? figureOf(temperature.hotspot)),
    powerW: watts(figureOf(power.socket_power)),
    isThrottled: throttle === 'THROTTLED' ? true : throttle === 'UNTHROTTLED' ? false : undefined,
    uuid: undefined,
    isIntegrated,
  };
}

/** A bare number, or `{value, unit}`. */
function figureOf(field: unknown): number | undefined {
  return toolNumber(field) ?? toolNumber(fieldsOf(field).value);
}

function sizeOf(field: unknown): number | undefined {
  const unit = fieldsOf(field).unit;
  return bytesOf(figureOf(field), UNITS[typeof unit === 'string' ? unit.toUpperCase() : 'MB'] ?? 1024 ** 2);
}
