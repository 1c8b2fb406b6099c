import type { SeenGpu } from './reading.ts';

/** The GPUs that one Ollama may use, by index or UUID as CUDA_VISIBLE_DEVICES names them; undefined: all. */
export interface GpuChoice {
  readonly nvidia: readonly string[] | undefined;
  readonly amd: readonly string[] | undefined;
}

export const ALL_GPUS: GpuChoice = { nvidia: undefined, amd: undefined };

/** As CUDA reads it: up to the first entry that means nothing. `-1` and the empty text hide all. */
export function parseVisibleDevices(text: string | undefined): readonly string[] | undefined {
  if (text === undefined) return undefined;
  const entries = text.split(',').map((entry) => entry.trim());
  const end = entries.findIndex((entry) => !/^(?:\d{1,4}|(?:GPU|MIG)-[\w/-]{1,80})$/.test(entry));
  return entries.slice(0, end === -1 ? 64 : Math.min(end, 64));
}

/** The GPUs of a machine that the choice names. */
export function chooseGpus(gpus: readonly SeenGpu[], choice: GpuChoice): readonly SeenGpu[] {
  return gpus.filter((gpu) => {
    const names = gpu.vendor === 'nvidia' ? choice.nvidia : gpu.vendor === 'amd' ? choice.amd : undefined;
    if (names === undefined) return true;
    return names.some((name) => {
      if (/^\d+$/.test(name)) return Number(name) === gpu.index;
      // UUIDs may be cut short as long as they are unambiguous.
      return gpu.uuid?.toLowerCase().startsWith(name.toLowerCase()) ?? false;
    });
  });
}
