import { bytesOf, deviceName, type SeenGpu } from './reading.ts';

const MIB = 1024 * 1024;
const MAX_GPUS = 64;

interface MigMemory {
  readonly gpu: number;
  readonly device: number;
  readonly totalBytes: number | undefined;
  readonly usedBytes: number | undefined;
}

/**
 * The slices of GPUs that are partitioned (MIG), from `nvidia-smi -q -x` (memory) and `nvidia-smi -L` (names, UUIDs).
 * A process of CUDA sees slices, never the whole. `gpus` are the rows of the same machine: what the tool tells of a whole
 * GPU only, such as its temperature, holds for its slices.
 */
export function parseMig(xml: string, list: string, gpus: readonly SeenGpu[]): SeenGpu[] {
  const names = parseList(list);
  return parseMemory(xml).flatMap(({ gpu, device, totalBytes, usedBytes }): SeenGpu[] => {
    const whole = gpus[gpu];
    if (whole === undefined) return [];
    const named = names.get(`${gpu}/${device}`);
    return [
      {
        ...whole,
        name: deviceName(`${whole.name} MIG ${named?.profile ?? device}`, whole.name),
        vramTotalBytes: totalBytes,
        vramUsedBytes: usedBytes,
        // Not told per slice.
        utilization: undefined,
        uuid: named?.uuid,
      },
    ];
  });
}

function parseMemory(xml: string): MigMemory[] {
  const gpus = xml.split(/<gpu id="/).slice(1, MAX_GPUS + 1);
  return gpus.flatMap((text, gpu) =>
    text
      .split('<mig_device>')
      .slice(1, 17)
      .flatMap((part) => {
        const device = /<index>\s*(\d{1,3})\s*<\/index>/.exec(part)?.[1];
        const memory = /<fb_memory_usage>([\s\S]{0,1000}?)<\/fb_memory_usage>/.exec(part)?.[1] ?? '';
        if (device === undefined) return [];
        return {
          gpu,
          device: Number(device),
          totalBytes: mebibytes(memory, 'total'),
          usedBytes: mebibytes(memory, 'used'),
        };
      }),
  );
}

function mebibytes(memory: string, tag: 'total' | 'used'): number | undefined {
  const value = new RegExp(`<${tag}>\\s*(\\d{1,9}) MiB\\s*</${tag}>`).exec(memory)?.[1];
  return value === undefined ? undefined : bytesOf(Number(value), MIB);
}

/** `GPU 0: NVIDIA A100 (UUID: GPU-…)`, then for each slice `  MIG 3g.20gb     Device  0: (UUID: MIG-…)`. */
function parseList(list: string): Map<string, { profile: string; uuid: string }> {
  const found = new Map<string, { profile: string; uuid: string }>();
  let gpu = -1;
  for (const line of list.split('\n').slice(0, 1_000)) {
    if (/^GPU \d+:/.test(line)) gpu += 1;
    const slice = /^\s+MIG (\S{1,32})\s+Device\s+(\d{1,3}): \(UUID: (MIG-[\w/-]{8,80})\)/.exec(line);
    if (slice?.[1] !== undefined && slice[2] !== undefined && slice[3] !== undefined) {
      found.set(`${gpu}/${Number(slice[2])}`, { profile: slice[1], uuid: slice[3] });
    }
  }
  return found;
}
