import { describe, expect, it } from 'vitest';
import { appleMemory, parseIoreg } from '../../../src/agent/gpu/apple.ts';
import { ALL_GPUS, chooseGpus, parseVisibleDevices } from '../../../src/agent/gpu/choose.ts';
import { Gpus } from '../../../src/agent/gpu/gpus.ts';
import { type Controller, OtherCollector } from '../../../src/agent/gpu/other.ts';
import type { GpuCollector, GpuReading, SeenGpu } from '../../../src/agent/gpu/reading.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { ok, recorded, tools } from './recordings.ts';

const GIB = 1024 ** 3;
const NEVER = new AbortController().signal;

function aGpu(fields: Partial<SeenGpu> = {}): SeenGpu {
  return {
    index: 0,
    name: 'card',
    vendor: 'nvidia',
    vramTotalBytes: 24 * GIB,
    vramUsedBytes: GIB,
    utilization: 0.5,
    temperatureC: 50,
    powerW: 100,
    isThrottled: false,
    uuid: undefined,
    isIntegrated: false,
    ...fields,
  };
}

/** Answers what the test sets; `hang` never does. */
class ScriptedCollector implements GpuCollector {
  readonly name = 'scripted-smi';
  answer: GpuReading | undefined | 'hang';
  asked = 0;

  constructor(answer?: GpuReading | 'hang') {
    this.answer = answer;
  }

  collect(): Promise<GpuReading | undefined> {
    this.asked += 1;
    const { answer } = this;
    return answer === 'hang' ? new Promise(() => {}) : Promise.resolve(answer);
  }
}

function machine(vendors: readonly GpuCollector[], fallback = new ScriptedCollector()) {
  const clock = new FakeClock();
  const gpus = new Gpus({ vendors, fallback, clock, waitMs: 1_000 });
  const see = async () => {
    const seen = gpus.see(ALL_GPUS, NEVER);
    await clock.advance(1_000);
    return await seen;
  };
  return { clock, see, fallback };
}

describe('the GPUs of one machine', () => {
  it('of two vendors each have a number of their own', async () => {
    const { see, fallback } = machine([
      new ScriptedCollector({ gpus: [aGpu(), aGpu({ index: 1 })], problem: undefined }),
      new ScriptedCollector({ gpus: [aGpu({ vendor: 'amd' })], problem: undefined }),
    ]);
    expect((await see()).gpus.map(({ index, vendor }) => `${index} ${vendor}`)).toEqual([
      '0 nvidia',
      '1 nvidia',
      '2 amd',
    ]);
    expect(fallback.asked).toBe(0);
  });

  it('do not count the graphics of the processor beside a real card', async () => {
    const apu = aGpu({ vendor: 'amd', isIntegrated: true });
    const both = machine([new ScriptedCollector({ gpus: [aGpu(), apu], problem: undefined })]);
    expect((await both.see()).gpus).toEqual([aGpu()]);
    const alone = machine([new ScriptedCollector({ gpus: [apu], problem: undefined })]);
    expect((await alone.see()).gpus).toEqual([apu]);
  });

  it('are looked for in the general list only where no vendor has any', async () => {
    const fallback = new ScriptedCollector({ gpus: [aGpu({ vendor: 'apple' })], problem: undefined });
    const { see } = machine([new ScriptedCollector()], fallback);
    expect((await see()).gpus.map(({ vendor }) => vendor)).toEqual(['apple']);
  });

  it('of other tools are reported in time while one tool hangs, and what it said is kept for a while', async () => {
    const slow = new ScriptedCollector({ gpus: [aGpu()], problem: undefined });
    const { see, clock } = machine([
      slow,
      new ScriptedCollector({ gpus: [aGpu({ vendor: 'amd' })], problem: undefined }),
    ]);
    await see();
    slow.answer = 'hang';
    const soon = await see();
    expect(soon.gpus).toHaveLength(2);
    expect(soon.gpus[0]).toEqual(aGpu());
    expect(soon.problems).toEqual([]);

    await clock.advance(15_000);
    const later = await see();
    expect(later.gpus[0]).toEqual(
      aGpu({
        vramUsedBytes: undefined,
        utilization: undefined,
        temperatureC: undefined,
        powerW: undefined,
        isThrottled: undefined,
      }),
    );
    expect(later.problems).toEqual(['scripted-smi is slow to answer']);
    expect(slow.asked).toBe(2);

    await clock.advance(60_000);
    expect((await see()).gpus.map(({ vendor }) => vendor)).toEqual(['amd']);
  });

  it('stay known without live figures for a minute when their tool fails', async () => {
    const tool = new ScriptedCollector({ gpus: [aGpu()], problem: undefined });
    const { see, clock } = machine([tool]);
    await see();
    tool.answer = { gpus: [], problem: 'the driver is gone' };
    const failing = await see();
    expect(failing.gpus).toEqual([
      expect.objectContaining({ vramTotalBytes: 24 * GIB, vramUsedBytes: undefined }),
    ]);
    expect(failing.problems).toEqual(['the driver is gone']);
    await clock.advance(60_000);
    expect((await see()).gpus).toEqual([]);
  });
});

describe('the GPUs that one Ollama may use', () => {
  const cards = [
    aGpu({ index: 0, uuid: 'GPU-aaaa1111' }),
    aGpu({ index: 1, uuid: 'GPU-bbbb2222' }),
    aGpu({ index: 2, uuid: 'MIG-cccc3333' }),
    aGpu({ index: 0, vendor: 'amd' }),
  ];

  it.each([
    [undefined, [0, 1, 2]],
    ['1', [1]],
    ['0,1', [0, 1]],
    ['GPU-bbbb', [1]],
    ['MIG-cccc3333', [2]],
    ['0,-1,1', [0]],
    ['-1', []],
    ['', []],
    ['NoDevFiles', []],
  ])('CUDA_VISIBLE_DEVICES=%s', (text, indices) => {
    const chosen = chooseGpus(cards, { nvidia: parseVisibleDevices(text), amd: undefined });
    expect(chosen.filter(({ vendor }) => vendor === 'nvidia').map(({ index }) => index)).toEqual(indices);
    expect(chosen.filter(({ vendor }) => vendor === 'amd')).toHaveLength(1);
  });
});

describe('Apple silicon', () => {
  it('lends the GPU two thirds of a small memory, three quarters of a large one, or what its owner set', () => {
    expect(appleMemory(16 * GIB, '0\n')).toBe(Math.floor((16 * GIB * 2) / 3));
    expect(appleMemory(96 * GIB, '')).toBe(72 * GIB);
    expect(appleMemory(96 * GIB, '86016\n')).toBe(84 * GIB);
    expect(appleMemory(16 * GIB, '99999999')).toBe(16 * GIB);
  });

  it('shows its load and memory in ioreg', () => {
    expect(parseIoreg(recorded('ioreg-m2.txt'))).toEqual({
      utilization: 0.83,
      vramUsedBytes: 19_327_352_832,
    });
    expect(parseIoreg('no such thing')).toEqual({});
  });

  it('is found by the general list', async () => {
    const { run } = tools({
      '/usr/sbin/sysctl -n iogpu.wired_limit_mb': ok('0\n'),
      '/usr/sbin/ioreg': ok(recorded('ioreg-m2.txt')),
    });
    const reading = await other([{ vendor: 'Apple', model: 'Apple M2 Max', vram: null }], run).collect(NEVER);
    expect(reading?.gpus).toEqual([
      expect.objectContaining({
        name: 'Apple M2 Max',
        vendor: 'apple',
        isIntegrated: true,
        vramTotalBytes: 24 * GIB,
        vramUsedBytes: 19_327_352_832,
        utilization: 0.83,
      }),
    ]);
  });
});

describe('the general list', () => {
  it('names a card of NVIDIA whose tool is missing', async () => {
    const reading = await other([
      { vendor: 'NVIDIA Corporation', model: 'GA104 [GeForce RTX 3070]' },
    ]).collect(NEVER);
    expect(reading).toEqual({
      gpus: [],
      problem: expect.stringContaining('GA104 [GeForce RTX 3070] is in this machine'),
    });
  });

  it('believes a card of Intel, and no display of a server or virtual machine', async () => {
    const reading = await other([
      { vendor: 'ASPEED Technology, Inc.', model: 'ASPEED Graphics Family', vram: 32 },
      { vendor: 'Red Hat, Inc.', model: 'Virtio GPU', vram: 16 },
      { vendor: 'Intel Corporation', model: 'UHD Graphics 770', vram: 256, vramDynamic: true },
      { vendor: 'Intel Corporation', model: 'DG2 [Arc A770]', vram: 16_384 },
    ]).collect(NEVER);
    expect(reading?.gpus).toEqual([
      expect.objectContaining({ vendor: 'intel', name: 'DG2 [Arc A770]', vramTotalBytes: 16 * GIB }),
    ]);
  });

  it('is made once in ten minutes, as it is slow', async () => {
    let made = 0;
    const clock = new FakeClock();
    const collector = new OtherCollector({
      list: () => {
        made += 1;
        return Promise.reject(new Error('no lspci'));
      },
      run: tools({}).run,
      clock,
      hostMemoryBytes: GIB,
    });
    for (let minute = 0; minute < 10; minute++) {
      expect(await collector.collect(NEVER)).toBeUndefined();
      await clock.advance(60_000);
    }
    expect(made).toBe(1);
    await collector.collect(NEVER);
    expect(made).toBe(2);
  });
});

function other(controllers: readonly Controller[], run = tools({}).run): OtherCollector {
  return new OtherCollector({
    list: async () => controllers,
    run,
    clock: new FakeClock(),
    hostMemoryBytes: 36 * GIB,
  });
}
