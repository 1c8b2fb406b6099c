import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { buildReport, type ReportSources } from '../../../src/agent/build-report.ts';
import type { GpuChoice } from '../../../src/agent/gpu/choose.ts';
import type { SeenGpu } from '../../../src/agent/gpu/reading.ts';
import { diskFree, readHostFacts } from '../../../src/agent/host-facts.ts';
import type { OllamaEnvironment } from '../../../src/agent/ollama/environment.ts';
import { ownUrl } from '../../../src/agent/own-url.ts';
import { parseOwnerHours } from '../../../src/agent/owner-hours.ts';
import { type AgentSettings, maintenancePath } from '../../../src/agent/settings.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { type TempDir, tempDir } from '../../support/temp-dir.ts';

const NEVER = new AbortController().signal;
const GIB = 1024 ** 3;
const GB10: SeenGpu = { index: 0, name: 'NVIDIA GB10', vendor: 'nvidia', uuid: 'GPU-1', isIntegrated: true };

let dir: TempDir;
beforeEach(() => {
  dir = tempDir();
});
afterEach(() => dir.remove());

interface Machine {
  readonly settings?: Partial<AgentSettings>;
  readonly env?: OllamaEnvironment;
  readonly gpus?: readonly SeenGpu[];
}

function aMachine({ settings = {}, env, gpus = [] }: Machine = {}) {
  const choices: GpuChoice[] = [];
  const modelsDirs: string[] = [];
  const sources: ReportSources = {
    settings: {
      to: [],
      node: 'gpu1',
      url: undefined,
      joinToken: undefined,
      intervalMs: 2_000,
      stateDir: dir.path,
      ca: undefined,
      labels: {},
      ollama: { parallel: undefined, maxLoadedModels: undefined, maxQueue: undefined },
      ollamaEnvFile: undefined,
      modelsDir: undefined,
      gpus: undefined,
      maintenance: undefined,
      ownerHours: [],
      ...settings,
    },
    clock: new FakeClock({ date: new Date('2026-01-05T12:00:00Z') }),
    gpus: {
      see: async (choice) => {
        choices.push(choice);
        return { gpus, problems: ['a tool is odd'] };
      },
    },
    host: async (modelsDir) => {
      modelsDirs.push(modelsDir);
      return {
        memoryTotalBytes: 120 * GIB,
        memoryAvailableBytes: 100 * GIB,
        load1: 0.5,
        cpus: 20,
        diskFreeBytes: GIB,
      };
    },
    environment: async () => (env === undefined ? undefined : { env, from: 'a test' }),
  };
  const build = async () => (await buildReport(sources, 'http://10.0.0.11:11434', NEVER)).report;
  return { sources, build, choices, modelsDirs };
}

describe('a report', () => {
  it('gives a chip without memory of its own that of the host', async () => {
    const report = await aMachine({ gpus: [GB10] }).build();
    expect(report.isUnifiedMemory).toBe(true);
    expect(report.gpus).toEqual([
      { index: 0, name: 'NVIDIA GB10', vendor: 'nvidia', vramTotalBytes: 120 * GIB, vramUsedBytes: 20 * GIB },
    ]);
  });

  it('tells nothing of a GPU that only this machine needs to know', async () => {
    const report = await aMachine({ gpus: [{ ...GB10, isIntegrated: false }] }).build();
    expect(Object.keys(report.gpus[0] ?? {})).not.toContain('uuid');
    expect(report).toMatchObject({ isUnifiedMemory: false, gpus: [{ index: 0 }] });
    expect(report.gpus[0]?.vramTotalBytes).toBeUndefined();
  });

  it("takes Ollama's settings from its environment, and flags before those", async () => {
    const env = {
      OLLAMA_NUM_PARALLEL: '4',
      OLLAMA_MAX_QUEUE: '64',
      OLLAMA_MODELS: '/srv/models',
      CUDA_VISIBLE_DEVICES: '1',
    };
    const machine = aMachine({
      env,
      settings: { ollama: { parallel: 2, maxLoadedModels: 3, maxQueue: undefined } },
    });
    expect((await machine.build()).ollama).toEqual({ parallel: 2, maxLoadedModels: 3, maxQueue: 64 });
    expect(machine.modelsDirs).toEqual(['/srv/models']);
    expect(machine.choices).toEqual([{ nvidia: ['1'], amd: undefined }]);
    const told = aMachine({ env, settings: { modelsDir: '/m', gpus: { nvidia: ['0'], amd: ['0'] } } });
    await told.build();
    expect(told.modelsDirs).toEqual(['/m']);
    expect(told.choices).toEqual([{ nvidia: ['0'], amd: ['0'] }]);
  });

  it('is in maintenance for as long as the file is there', async () => {
    const { sources, build } = aMachine();
    const path = maintenancePath(sources.settings);
    expect((await build()).maintenance).toEqual({ on: false, note: '' });
    writeFileSync(path, `new fans\u001b[31m ${'x'.repeat(200)}\nsecond line\n`);
    expect((await build()).maintenance).toEqual({
      on: true,
      note: expect.stringMatching(/^new fans \[31m x+$/),
    });
    writeFileSync(path, '');
    expect((await build()).maintenance).toEqual({ on: true, note: '' });
    rmSync(path);
    mkdirSync(path);
    expect((await build()).maintenance).toEqual({ on: true, note: '' });
    rmSync(path, { recursive: true });
    expect((await build()).maintenance?.on).toBe(false);
  });

  it('is in maintenance by flag, with its note', async () => {
    const { build } = aMachine({ settings: { maintenance: 'moving house' } });
    expect((await build()).maintenance).toEqual({ on: true, note: 'moving house' });
  });

  it("says whether these are its owner's hours", async () => {
    const all = await aMachine({ settings: { ownerHours: parseOwnerHours('00:00-24:00') } }).build();
    expect(all).toMatchObject({
      ownerInUse: true,
      ownerHours: expect.arrayContaining([{ from: 0, to: 1440 }]),
    });
    expect(await aMachine().build()).toMatchObject({ ownerInUse: false });
  });
});

describe('the host', () => {
  it('of this test has memory, processors and a disk', async () => {
    const facts = await readHostFacts(dir.path);
    expect(facts.memoryTotalBytes).toBeGreaterThan(100 * 1024 ** 2);
    expect(facts.memoryAvailableBytes).toBeLessThanOrEqual(facts.memoryTotalBytes ?? 0);
    expect(facts.cpus).toBeGreaterThan(0);
    expect(facts.diskFreeBytes).toBeGreaterThan(0);
  });

  it('has the free space of the nearest directory where the models will lie', async () => {
    expect(await diskFree(join(dir.path, 'not', 'yet', 'there'))).toBeGreaterThan(0);
  });
});

describe('the address of Ollama', () => {
  it('is the one that this machine has towards the control plane', async () => {
    expect(await ownUrl(new URL('http://127.0.0.1:9412'), 11_434)).toBe('http://127.0.0.1:11434');
    expect(await ownUrl(new URL('https://no-such-host.invalid'), 11_434)).toBeUndefined();
  });
});
