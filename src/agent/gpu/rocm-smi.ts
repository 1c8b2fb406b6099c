import { apuMemory, isApu } from './amd-apu.ts';
import { type Fields, fieldsOf, jsonIn } from './parse-object.ts';
import { bytesOf, celsius, deviceName, type SeenGpu, shareOf, toolNumber, watts } from './reading.ts';

export const ROCM_SMI_ARGS = [
  '--showmeminfo',
  'vram',
  'gtt',
  '--showproductname',
  '--showuse',
  '--showtemp',
  '--showpower',
  '--json',
];

/** GPUs in the JSON of `rocm-smi`; its keys changed their spelling between versions. */
export function parseRocmSmi(stdout: string): SeenGpu[] {
  return Object.entries(fieldsOf(jsonIn(stdout)))
    .slice(0, 65)
    .flatMap(([key, value]) => {
      const index = /^card(\d{1,3})$/.exec(key)?.[1];
      return index === undefined ? [] : [parseCard(Number(index), fieldsOf(value))];
    })
    .sort((a, b) => a.index - b.index);
}

function parseCard(index: number, card: Fields): SeenGpu {
  const read = (...keys: string[]): unknown => {
    for (const key of keys) {
      const value = lookUp(card, key);
      if (value !== undefined && !/^\s*(?:n\/a)?\s*$/i.test(String(value))) return value;
    }
    return undefined;
  };
  const number = (...keys: string[]): number | undefined => toolNumber(read(...keys));
  const names = [read('Card Series'), read('Card Model'), read('Device Name')];
  const isIntegrated = isApu(read('GFX Version'), names);
  return {
    index,
    // A series or model that the tool cannot name is the number of its PCI device.
    name: deviceName(
      names.find((name) => typeof name === 'string' && !/^0x/i.test(name)),
      'AMD GPU',
    ),
    vendor: 'amd',
    vramTotalBytes: apuMemory(
      bytesOf(number('VRAM Total Memory (B)'), 1),
      bytesOf(number('GTT Total Memory (B)'), 1),
      isIntegrated,
    ),
    vramUsedBytes: apuMemory(
      bytesOf(number('VRAM Total Used Memory (B)'), 1),
      bytesOf(number('GTT Total Used Memory (B)'), 1),
      isIntegrated,
    ),
    utilization: shareOf(number('GPU use (%)')),
    temperatureC: celsius(
      number(
        'Temperature (Sensor edge) (C)',
        'Temperature (Sensor junction) (C)',
        'Temperature (Sensor #1) (C)',
      ),
    ),
    powerW: watts(
      number(
        'Average Graphics Package Power (W)',
        'Current Socket Graphics Package Power (W)',
        'Current Socket Power (W)',
      ),
    ),
    isThrottled: undefined,
    uuid: undefined,
    isIntegrated,
  };
}

/** By name whatever its case: `Card series` became `Card Series`. */
function lookUp(card: Fields, name: string): unknown {
  const wanted = name.toLowerCase();
  const key = Object.keys(card).find((candidate) => candidate.toLowerCase() === wanted);
  return key === undefined ? undefined : card[key];
}
