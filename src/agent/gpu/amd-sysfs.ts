import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { apuMemory, isApu } from './amd-apu.ts';
import { bytesOf, celsius, deviceName, type SeenGpu, shareOf, toolNumber, watts } from './reading.ts';

const AMD_VENDOR = '0x1002';

/**
 * GPUs as Linux's amdgpu driver shows them in /sys, readable for everybody: Ollama brings its own ROCm, so that many
 * machines have none of AMD's tools.
 */
export async function readAmdSysfs(root = '/sys/class/drm'): Promise<SeenGpu[]> {
  const cards = (await readdir(root).catch(() => [])).filter((name) => /^card\d{1,3}$/.test(name));
  const gpus = await Promise.all(cards.sort(byNumber).map((card) => readCard(join(root, card, 'device'))));
  return gpus.filter((gpu) => gpu !== undefined).map((gpu, index) => ({ ...gpu, index }));
}

async function readCard(device: string): Promise<SeenGpu | undefined> {
  if ((await text(device, 'vendor')) !== AMD_VENDOR) return undefined;
  const vram = bytesOf(await number(device, 'mem_info_vram_total'), 1);
  if (vram === undefined) return undefined;
  const hwmon = join(device, 'hwmon', (await readdir(join(device, 'hwmon')).catch(() => []))[0] ?? 'none');
  const name = await text(device, 'product_name');
  const maker = await text(device, 'mem_info_vram_vendor');
  // Memory chips have a maker; a part of the host's memory has none.
  const isIntegrated = isApu(undefined, [name]) || maker === undefined || maker === 'unknown';
  const [vramUsed, gtt, gttUsed, busy, temperature, power] = await Promise.all([
    number(device, 'mem_info_vram_used'),
    number(device, 'mem_info_gtt_total'),
    number(device, 'mem_info_gtt_used'),
    number(device, 'gpu_busy_percent'),
    number(hwmon, 'temp1_input'),
    number(hwmon, 'power1_average').then((value) => value ?? number(hwmon, 'power1_input')),
  ]);
  return {
    index: 0,
    name: deviceName(name, 'AMD GPU'),
    vendor: 'amd',
    vramTotalBytes: apuMemory(vram, bytesOf(gtt, 1), isIntegrated),
    vramUsedBytes: apuMemory(bytesOf(vramUsed, 1), bytesOf(gttUsed, 1), isIntegrated),
    utilization: shareOf(busy),
    temperatureC: celsius(temperature === undefined ? undefined : temperature / 1_000),
    powerW: watts(power === undefined ? undefined : power / 1_000_000),
    isThrottled: undefined,
    uuid: undefined,
    isIntegrated,
  };
}

async function text(dir: string, file: string): Promise<string | undefined> {
  const read = await readFile(join(dir, file), 'utf8').catch(() => '');
  return read.trim() === '' ? undefined : read.trim().slice(0, 256);
}

async function number(dir: string, file: string): Promise<number | undefined> {
  return toolNumber(await text(dir, file));
}

function byNumber(a: string, b: string): number {
  return Number(a.slice(4)) - Number(b.slice(4));
}
