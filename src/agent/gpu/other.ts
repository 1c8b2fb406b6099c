import type { Clock } from '../../app/ports.ts';
import type { RunTool } from '../run-tool.ts';
import { appleMemory, parseIoreg } from './apple.ts';
import {
  bytesOf,
  celsius,
  deviceName,
  type GpuCollector,
  type GpuReading,
  type SeenGpu,
  shareOf,
} from './reading.ts';

const MIB = 1024 * 1024;
/** What is built in does not change, and listing it is slow. */
const LIST_AGAIN_MS = 600_000;

/** The part that is used of what `systeminformation` lists. */
export interface Controller {
  readonly vendor?: string;
  readonly model?: string;
  readonly vram?: number | null;
  readonly vramDynamic?: boolean;
  readonly memoryTotal?: number;
  readonly memoryUsed?: number;
  readonly utilizationGpu?: number;
  readonly temperatureGpu?: number;
}

export interface OtherOptions {
  /** `systeminformation`'s list of graphics controllers. */
  readonly list: () => Promise<readonly Controller[]>;
  readonly run: RunTool;
  readonly clock: Pick<Clock, 'now'>;
  readonly hostMemoryBytes: number;
}

/** Apple silicon, Intel's cards, and those of AMD on Windows, where the tools of the others are not at hand. */
export class OtherCollector implements GpuCollector {
  readonly name = 'systeminformation';
  readonly #options: OtherOptions;
  #listed: { readonly controllers: readonly Controller[]; readonly at: number } | undefined;

  constructor(options: OtherOptions) {
    this.#options = options;
  }

  async collect(signal: AbortSignal): Promise<GpuReading | undefined> {
    const controllers = await this.#list();
    const gpus: SeenGpu[] = [];
    let problem: string | undefined;
    for (const controller of controllers) {
      const gpu = describe(controller, gpus.length);
      if (gpu === undefined) problem ??= missingTool(controller);
      else gpus.push(gpu.vendor === 'apple' ? await this.#apple(gpu, signal) : gpu);
    }
    return gpus.length === 0 && problem === undefined ? undefined : { gpus, problem };
  }

  async #list(): Promise<readonly Controller[]> {
    const now = this.#options.clock.now();
    if (this.#listed === undefined || now - this.#listed.at >= LIST_AGAIN_MS) {
      const controllers = await this.#options.list().catch(() => []);
      this.#listed = { controllers: controllers.slice(0, 64), at: now };
    }
    return this.#listed.controllers;
  }

  async #apple(gpu: SeenGpu, signal: AbortSignal): Promise<SeenGpu> {
    const { run, hostMemoryBytes } = this.#options;
    const [limit, ioreg] = await Promise.all([
      run('/usr/sbin/sysctl', ['-n', 'iogpu.wired_limit_mb'], signal),
      run('/usr/sbin/ioreg', ['-r', '-d', '1', '-w', '0', '-c', 'IOAccelerator'], signal),
    ]);
    return {
      ...gpu,
      vramTotalBytes: appleMemory(hostMemoryBytes, limit.kind === 'ok' ? limit.stdout : ''),
      ...(ioreg.kind === 'ok' ? parseIoreg(ioreg.stdout) : {}),
    };
  }
}

function describe(controller: Controller, index: number): SeenGpu | undefined {
  const text = `${controller.vendor ?? ''} ${controller.model ?? ''}`;
  const vendor = /\bApple\b/i.test(text)
    ? 'apple'
    : /\bIntel\b.*\b(?:Arc|Data Center GPU|Flex|Max)\b/i.test(text)
      ? 'intel'
      : isWindowsAmd(controller, text)
        ? 'amd'
        : undefined;
  if (vendor === undefined) return undefined;
  const isIntegrated = vendor === 'apple';
  const ownMemory = controller.vramDynamic === true ? undefined : (controller.vram ?? undefined);
  const total = isIntegrated ? undefined : bytesOf(controller.memoryTotal ?? ownMemory, MIB);
  return {
    index,
    name: deviceName(controller.model, `${vendor} GPU`),
    vendor,
    vramTotalBytes: total === 0 ? undefined : total,
    vramUsedBytes: isIntegrated ? undefined : bytesOf(controller.memoryUsed, MIB),
    utilization: shareOf(controller.utilizationGpu),
    temperatureC: celsius(controller.temperatureGpu),
    powerW: undefined,
    isThrottled: undefined,
    uuid: undefined,
    isIntegrated,
  };
}

/** Windows tells the memory of a card in whole gibibytes up to 4: only more than that is believed. */
function isWindowsAmd(controller: Controller, text: string): boolean {
  return /\b(?:AMD|Advanced Micro Devices|Radeon)\b/i.test(text) && (controller.vram ?? 0) > 4096;
}

/** A card that other collectors should have seen. */
function missingTool({ vendor = '', model = '' }: Controller): string | undefined {
  if (!/nvidia/i.test(vendor)) return undefined;
  const name = deviceName(model, 'a GPU of NVIDIA');
  return `${name} is in this machine, but nvidia-smi is not: install NVIDIA's driver with its tools, or put them on PATH`;
}
