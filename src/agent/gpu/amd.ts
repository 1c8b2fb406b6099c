import type { Clock } from '../../app/ports.ts';
import type { RunTool, ToolResult } from '../run-tool.ts';
import { AMD_SMI_METRIC_ARGS, AMD_SMI_STATIC_ARGS, parseAmdSmi } from './amd-smi.ts';
import type { GpuCollector, GpuReading, SeenGpu } from './reading.ts';
import { parseRocmSmi, ROCM_SMI_ARGS } from './rocm-smi.ts';
import { ToolSearch } from './tool-search.ts';

/** AMD GPUs by `rocm-smi`, else `amd-smi`, else what the Linux driver shows in /sys. */
export class AmdCollector implements GpuCollector {
  readonly name = 'rocm-smi';
  readonly #rocm: ToolSearch;
  readonly #amd: ToolSearch;
  readonly #sysfs: () => Promise<readonly SeenGpu[]>;
  #asic: string | undefined;

  constructor(run: RunTool, clock: Pick<Clock, 'now'>, sysfs: () => Promise<readonly SeenGpu[]>) {
    this.#rocm = new ToolSearch(['rocm-smi', '/opt/rocm/bin/rocm-smi'], run, clock);
    this.#amd = new ToolSearch(['amd-smi', '/opt/rocm/bin/amd-smi'], run, clock);
    this.#sysfs = sysfs;
  }

  async collect(signal: AbortSignal): Promise<GpuReading | undefined> {
    const rocm = await this.#rocm.run(ROCM_SMI_ARGS, signal);
    const byRocm = rocm.kind === 'ok' ? parseRocmSmi(rocm.stdout) : [];
    if (byRocm.length > 0) return { gpus: byRocm, problem: undefined };
    const amd = await this.#amd.run(AMD_SMI_METRIC_ARGS, signal);
    const byAmd = amd.kind === 'ok' ? parseAmdSmi(amd.stdout, await this.#asics(signal)) : [];
    if (byAmd.length > 0) return { gpus: byAmd, problem: undefined };
    const gpus = await this.#sysfs();
    if (gpus.length > 0) return { gpus, problem: undefined };
    const problem = problemOf('rocm-smi', rocm) ?? problemOf('amd-smi', amd);
    return problem === undefined ? undefined : { gpus, problem };
  }

  /** The names of the GPUs, asked for once. */
  async #asics(signal: AbortSignal): Promise<string> {
    if (this.#asic === undefined) {
      const result = await this.#amd.run(AMD_SMI_STATIC_ARGS, signal);
      if (result.kind === 'ok') this.#asic = result.stdout;
    }
    return this.#asic ?? '';
  }
}

/** A tool without a driver is no problem: ROCm may be installed where its GPU is not. */
function problemOf(name: string, result: ToolResult): string | undefined {
  if (result.kind === 'timeout') return `${name} did not answer in time; the driver may hang`;
  if (result.kind !== 'failed' || /not initialized|no .*gpu|not found|amdgpu/i.test(result.message))
    return undefined;
  return `${name}: ${result.message}`;
}
