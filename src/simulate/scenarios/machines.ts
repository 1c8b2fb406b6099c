import type { NodeId } from '../../fleet/types.ts';
import type { SimNodeSpec } from '../types.ts';

const GIB = 1024 ** 3;

/**
 * Machines that people run Ollama on. Rates are tokens per second of a model of one billion parameters at 4 bits, so that an 8B
 * model (4.9 GB) comes to 118, 105, 45, 55, 98, 20 and 8 tokens per second: what such machines are commonly measured at. The
 * VRAM of Macs is what they may take of the shared memory.
 */
const MACHINES = {
  rtx4090: { vramGib: 24, loadGbPerSecond: 2.5, prompt: 38_000, answer: 900 },
  rtx3090: { vramGib: 24, loadGbPerSecond: 2, prompt: 20_000, answer: 800 },
  rtx3060: { vramGib: 12, loadGbPerSecond: 0.8, prompt: 12_000, answer: 340 },
  m2max: { vramGib: 48, loadGbPerSecond: 3, prompt: 5_000, answer: 420 },
  m2ultra: { vramGib: 144, loadGbPerSecond: 3, prompt: 9_000, answer: 750 },
  m2: { vramGib: 11, loadGbPerSecond: 2, prompt: 1_600, answer: 150 },
  /** No GPU at all. */
  minipc: { vramGib: 0, loadGbPerSecond: 1, prompt: 350, answer: 60 },
} as const;
export type MachineKind = keyof typeof MACHINES;

/** A machine with Ollama's defaults, but for `fields`. Routing is told the VRAM, not the slots. */
export function machine(
  kind: MachineKind,
  id: NodeId,
  models: readonly string[],
  fields: Partial<SimNodeSpec> = {},
): SimNodeSpec {
  const { vramGib, loadGbPerSecond, prompt, answer } = MACHINES[kind];
  return {
    id,
    vramBytes: vramGib * GIB,
    parallel: 1,
    maxLoadedModels: 3,
    loadBytesPerSecond: loadGbPerSecond * 1e9,
    promptTokensPerSecond: prompt,
    answerTokensPerSecond: answer,
    rttMs: 1,
    models,
    tellsVram: vramGib > 0,
    ...fields,
  };
}

/** `count` machines of a kind, named `prefix1` and so on. */
export function machines(
  kind: MachineKind,
  prefix: string,
  count: number,
  models: readonly string[],
  fields: Partial<SimNodeSpec> = {},
): SimNodeSpec[] {
  return Array.from({ length: count }, (_, i) => machine(kind, `${prefix}${i + 1}`, models, fields));
}
