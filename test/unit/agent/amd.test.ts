import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AmdCollector } from '../../../src/agent/gpu/amd.ts';
import { parseAmdSmi } from '../../../src/agent/gpu/amd-smi.ts';
import { readAmdSysfs } from '../../../src/agent/gpu/amd-sysfs.ts';
import { reported } from '../../../src/agent/gpu/gpus.ts';
import { parseRocmSmi } from '../../../src/agent/gpu/rocm-smi.ts';
import { reportSchema } from '../../../src/app/agents/agent-protocol.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { failed, ok, recorded, tools } from './recordings.ts';

const MIB = 1024 * 1024;
const NEVER = new AbortController().signal;
const NO_SYSFS = async () => [];

describe('the JSON of rocm-smi', () => {
  it('of ROCm 5 shows two cards, the one without a name as such', () => {
    expect(parseRocmSmi(recorded('rocm-5.json.txt'))).toEqual([
      {
        index: 0,
        name: 'Navi 31 [Radeon RX 7900 XT/7900 XTX]',
        vendor: 'amd',
        vramTotalBytes: 25_753_026_560,
        vramUsedBytes: 9_126_805_504,
        utilization: 0.12,
        temperatureC: 45,
        powerW: 38,
        isThrottled: undefined,
        uuid: undefined,
        isIntegrated: false,
      },
      expect.objectContaining({
        index: 1,
        name: 'AMD GPU',
        powerW: undefined,
        vramTotalBytes: 17_163_091_968,
      }),
    ]);
  });

  it('of a processor with graphics inside counts what it borrows of the host', () => {
    expect(parseRocmSmi(recorded('rocm-6-strix-halo.json.txt'))).toEqual([
      expect.objectContaining({
        name: 'AMD Radeon Graphics',
        isIntegrated: true,
        vramTotalBytes: 536_870_912 + 122_406_567_936,
        vramUsedBytes: 170_999_808 + 20_911_616,
        powerW: 9.019,
      }),
    ]);
  });

  it('of a server card has no edge sensor and more than cards in it', () => {
    expect(parseRocmSmi(recorded('rocm-6-mi300x.json.txt'))).toEqual([
      expect.objectContaining({
        temperatureC: 42,
        powerW: 134,
        isIntegrated: false,
        vramTotalBytes: 206_141_652_992,
      }),
    ]);
  });

  it('may be anything else', () => {
    expect(parseRocmSmi(recorded('rocm-no-driver.txt'))).toEqual([]);
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(parseRocmSmi(text)).toEqual([]);
      }),
    );
    fc.assert(
      fc.property(
        fc.dictionary(fc.constantFrom('card0', 'card1', 'card99', 'system'), fc.jsonValue()),
        (json) => {
          const gpus = parseRocmSmi(JSON.stringify(json)).map(reported);
          expect(reportSchema.shape.gpus.safeParse(gpus).success).toBe(true);
        },
      ),
    );
  });
});

describe('the JSON of amd-smi', () => {
  it('of ROCm 6 is a list', () => {
    expect(parseAmdSmi(recorded('amd-smi-6-metric.json.txt'), recorded('amd-smi-6-static.json.txt'))).toEqual(
      [
        {
          index: 0,
          name: 'AMD Radeon PRO W7900',
          vendor: 'amd',
          vramTotalBytes: 49_136 * MIB,
          vramUsedBytes: 10_325 * MIB,
          utilization: 0.42,
          temperatureC: 48,
          powerW: 20,
          isThrottled: false,
          uuid: undefined,
          isIntegrated: false,
        },
      ],
    );
  });

  it('of ROCm 7 is an object, with N/A in place of whole sections', () => {
    const gpus = parseAmdSmi(recorded('amd-smi-7-metric.json.txt'), recorded('amd-smi-7-static.json.txt'));
    expect(gpus).toEqual([
      expect.objectContaining({
        name: 'AMD Instinct MI300X',
        temperatureC: 61,
        powerW: 612,
        isThrottled: undefined,
      }),
      expect.objectContaining({
        name: 'AMD GPU',
        temperatureC: undefined,
        powerW: undefined,
        utilization: 0,
      }),
    ]);
  });

  it('may be anything else', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (metric, asic) => {
        const gpus = parseAmdSmi(
          JSON.stringify([{ gpu: 0, mem_usage: metric, usage: metric }]),
          JSON.stringify(asic),
        );
        expect(reportSchema.shape.gpus.safeParse(gpus.map(reported)).success).toBe(true);
      }),
    );
  });
});

describe('the driver of Linux', () => {
  function card(root: string, name: string, files: Record<string, string>): void {
    const device = join(root, name, 'device');
    mkdirSync(join(device, 'hwmon', 'hwmon4'), { recursive: true });
    for (const [file, text] of Object.entries(files)) writeFileSync(join(device, file), `${text}\n`);
  }

  it('shows cards to a machine without any tool of AMD', async () => {
    const dir = tempDir();
    card(dir.path, 'card1', {
      vendor: '0x1002',
      mem_info_vram_total: '17163091968',
      mem_info_vram_used: '1024',
      mem_info_vram_vendor: 'samsung',
      mem_info_gtt_total: '33638064128',
      gpu_busy_percent: '7',
      product_name: '',
      'hwmon/hwmon4/temp1_input': '41000',
      'hwmon/hwmon4/power1_average': '33000000',
    });
    card(dir.path, 'card10', {
      vendor: '0x1002',
      mem_info_vram_total: '536870912',
      mem_info_vram_used: '100',
      mem_info_gtt_total: '1000',
      mem_info_gtt_used: '10',
      gpu_busy_percent: '0',
    });
    card(dir.path, 'card0', { vendor: '0x10de' });
    mkdirSync(join(dir.path, 'card1-DP-1'));
    expect(await readAmdSysfs(dir.path)).toEqual([
      expect.objectContaining({
        index: 0,
        name: 'AMD GPU',
        vramTotalBytes: 17_163_091_968,
        utilization: 0.07,
        temperatureC: 41,
        powerW: 33,
        isIntegrated: false,
      }),
      expect.objectContaining({
        index: 1,
        vramTotalBytes: 536_871_912,
        vramUsedBytes: 110,
        isIntegrated: true,
      }),
    ]);
    dir.remove();
  });

  it('is not there on other systems', async () => {
    expect(await readAmdSysfs('/nowhere/at/all')).toEqual([]);
  });
});

describe('the collector of AMD', () => {
  it('turns to amd-smi where rocm-smi is missing, and asks for names once', async () => {
    const { run, asked } = tools({
      'amd-smi metric': ok(recorded('amd-smi-6-metric.json.txt')),
      'amd-smi static': ok(recorded('amd-smi-6-static.json.txt')),
    });
    const collector = new AmdCollector(run, new FakeClock(), NO_SYSFS);
    expect((await collector.collect(NEVER))?.gpus[0]?.name).toBe('AMD Radeon PRO W7900');
    await collector.collect(NEVER);
    expect(asked.filter((command) => command.includes('static'))).toHaveLength(1);
  });

  it('is silent about tools without a driver: this may be no machine of AMD', async () => {
    const { run } = tools({ 'rocm-smi': failed(recorded('rocm-no-driver.txt')) });
    expect(await new AmdCollector(run, new FakeClock(), NO_SYSFS).collect(NEVER)).toBeUndefined();
  });

  it('tells of a tool that hangs', async () => {
    const { run } = tools({ 'rocm-smi': { kind: 'timeout' } });
    const reading = await new AmdCollector(run, new FakeClock(), NO_SYSFS).collect(NEVER);
    expect(reading?.problem).toContain('rocm-smi did not answer in time');
  });
});
