import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseGpuMetrics } from '../../../src/nodes/gpu-metrics.ts';
import { parseSamples } from '../../../src/nodes/prometheus-text.ts';

const GIB = 2 ** 30;
const MIB = 2 ** 20;
const ALL = { match: {}, intervalMs: 5_000 };

/** As DCGM exporter 4 writes it, two GPUs of one machine. */
const DCGM = `# HELP DCGM_FI_DEV_SM_CLOCK SM clock frequency (in MHz).
# TYPE DCGM_FI_DEV_SM_CLOCK gauge
DCGM_FI_DEV_SM_CLOCK{gpu="0",UUID="GPU-a1",pci_bus_id="00000000:03:00.0",device="nvidia0",modelName="NVIDIA L40S",Hostname="gpu-host-1",DCGM_FI_DRIVER_VERSION="580.65.06"} 2520
# HELP DCGM_FI_DEV_GPU_TEMP GPU temperature (in C).
# TYPE DCGM_FI_DEV_GPU_TEMP gauge
DCGM_FI_DEV_GPU_TEMP{gpu="0",UUID="GPU-a1",pci_bus_id="00000000:03:00.0",device="nvidia0",modelName="NVIDIA L40S",Hostname="gpu-host-1",DCGM_FI_DRIVER_VERSION="580.65.06"} 61
DCGM_FI_DEV_GPU_TEMP{gpu="1",UUID="GPU-b2",pci_bus_id="00000000:04:00.0",device="nvidia1",modelName="NVIDIA L40S",Hostname="gpu-host-1",DCGM_FI_DRIVER_VERSION="580.65.06"} 91
# HELP DCGM_FI_DEV_POWER_USAGE Power draw (in W).
# TYPE DCGM_FI_DEV_POWER_USAGE gauge
DCGM_FI_DEV_POWER_USAGE{gpu="0",UUID="GPU-a1",device="nvidia0",modelName="NVIDIA L40S",Hostname="gpu-host-1"} 122.855000
# HELP DCGM_FI_DEV_GPU_UTIL GPU utilization (in %).
# TYPE DCGM_FI_DEV_GPU_UTIL gauge
DCGM_FI_DEV_GPU_UTIL{gpu="0",UUID="GPU-a1",device="nvidia0",modelName="NVIDIA L40S",Hostname="gpu-host-1"} 37
# HELP DCGM_FI_DEV_XID_ERRORS Value of the last XID error encountered.
# TYPE DCGM_FI_DEV_XID_ERRORS gauge
DCGM_FI_DEV_XID_ERRORS{gpu="0",UUID="GPU-a1",device="nvidia0",modelName="NVIDIA L40S",Hostname="gpu-host-1",err_code="0",err_msg="No Error"} 0
# HELP DCGM_FI_DEV_FB_FREE Framebuffer memory free (in MiB).
# TYPE DCGM_FI_DEV_FB_FREE gauge
DCGM_FI_DEV_FB_FREE{gpu="0",UUID="GPU-a1",device="nvidia0",modelName="NVIDIA L40S",Hostname="gpu-host-1"} 6144
DCGM_FI_DEV_FB_FREE{gpu="1",UUID="GPU-b2",device="nvidia1",modelName="NVIDIA L40S",Hostname="gpu-host-1"} 45056
# HELP DCGM_FI_DEV_FB_USED Framebuffer memory used (in MiB).
# TYPE DCGM_FI_DEV_FB_USED gauge
DCGM_FI_DEV_FB_USED{gpu="0",UUID="GPU-a1",device="nvidia0",modelName="NVIDIA L40S",Hostname="gpu-host-1"} 39392
DCGM_FI_DEV_FB_USED{gpu="1",UUID="GPU-b2",device="nvidia1",modelName="NVIDIA L40S",Hostname="gpu-host-1"} 0
# HELP DCGM_FI_DEV_FB_RESERVED Framebuffer memory reserved (in MiB).
# TYPE DCGM_FI_DEV_FB_RESERVED gauge
DCGM_FI_DEV_FB_RESERVED{gpu="0",UUID="GPU-a1",device="nvidia0",modelName="NVIDIA L40S",Hostname="gpu-host-1"} 532
# HELP DCGM_FI_DEV_CLOCK_THROTTLE_REASONS Throttling reasons (bitmask).
# TYPE DCGM_FI_DEV_CLOCK_THROTTLE_REASONS gauge
DCGM_FI_DEV_CLOCK_THROTTLE_REASONS{gpu="0",UUID="GPU-a1",device="nvidia0",modelName="NVIDIA L40S",Hostname="gpu-host-1"} 4
DCGM_FI_DEV_CLOCK_THROTTLE_REASONS{gpu="1",UUID="GPU-b2",device="nvidia1",modelName="NVIDIA L40S",Hostname="gpu-host-1"} 96
`;

/** As nvidia_gpu_exporter writes it. */
const NVIDIA_SMI = `# HELP nvidia_smi_gpu_info A metric with a constant '1' value labeled by gpu uuid, name, driver_model_current.
# TYPE nvidia_smi_gpu_info gauge
nvidia_smi_gpu_info{driver_model_current="WDDM",driver_version="471.11",name="NVIDIA GeForce RTX 2080 SUPER",uuid="df6e7a7c-7314",serial="[N/A]",index="3"} 1
# HELP nvidia_smi_memory_total_bytes memory.total [MiB]
# TYPE nvidia_smi_memory_total_bytes gauge
nvidia_smi_memory_total_bytes{uuid="df6e7a7c-7314"} 8.589934592e+09
nvidia_smi_memory_free_bytes{uuid="df6e7a7c-7314"} 7.883194368e+09
nvidia_smi_memory_used_bytes{uuid="df6e7a7c-7314"} 7.06740224e+08
nvidia_smi_power_draw_watts{uuid="df6e7a7c-7314"} 28.07
nvidia_smi_temperature_gpu{uuid="df6e7a7c-7314"} 34
nvidia_smi_utilization_gpu_ratio{uuid="df6e7a7c-7314"} 0.61
nvidia_smi_clocks_event_reasons_active{uuid="df6e7a7c-7314"} 8
nvidia_smi_pstate{uuid="df6e7a7c-7314"} 8
`;

/** As AMD's device-metrics-exporter writes it. */
const AMD = `# HELP gpu_total_vram The total VRAM available (in MB)
# TYPE gpu_total_vram gauge
gpu_total_vram{card_model="0x74a1",card_series="AMD Instinct MI300X",gpu_id="0",gpu_partition_id="0",hostname="amd-1",serial_number="692"} 196592
gpu_total_vram{card_model="0x74a1",card_series="AMD Instinct MI300X",gpu_id="1",gpu_partition_id="0",hostname="amd-1",serial_number="693"} 196592
gpu_used_vram{card_model="0x74a1",card_series="AMD Instinct MI300X",gpu_id="0",gpu_partition_id="0",hostname="amd-1",serial_number="692"} 285
gpu_gfx_activity{card_model="0x74a1",gpu_id="0",gpu_partition_id="0",hostname="amd-1"} 12
gpu_junction_temperature{card_model="0x74a1",gpu_id="0",gpu_partition_id="0",hostname="amd-1"} 43
gpu_package_power{card_model="0x74a1",gpu_id="0",gpu_partition_id="0",hostname="amd-1"} 141
`;

describe('exporters that people run', () => {
  it('DCGM: memory is what is used, free and reserved; heat throttles, the power cap does not', () => {
    expect(parseGpuMetrics(DCGM, ALL)).toEqual({
      source: 'prometheus',
      validForMs: 15_000,
      isUnifiedMemory: false,
      host: undefined,
      ollama: undefined,
      gpus: [
        {
          index: 0,
          name: 'NVIDIA L40S',
          vendor: 'nvidia',
          vramTotalBytes: (6144 + 39_392 + 532) * MIB,
          vramUsedBytes: 39_392 * MIB,
          utilization: 0.37,
          temperatureC: 61,
          powerW: 122.855,
          isThrottled: false,
        },
        {
          index: 1,
          name: 'NVIDIA L40S',
          vendor: 'nvidia',
          vramTotalBytes: 45_056 * MIB,
          vramUsedBytes: 0,
          utilization: undefined,
          temperatureC: 91,
          powerW: undefined,
          isThrottled: true,
        },
      ],
    });
  });

  it('DCGM: a total that is told wins over a sum', () => {
    const text =
      'DCGM_FI_DEV_FB_TOTAL{gpu="0"} 81920\nDCGM_FI_DEV_FB_USED{gpu="0"} 1\nDCGM_FI_DEV_FB_FREE{gpu="0"} 1\n';
    expect(parseGpuMetrics(text, ALL)?.gpus[0]?.vramTotalBytes).toBe(80 * GIB);
  });

  it('DCGM: what a GPU does not tell is written as a huge number, and left out', () => {
    const text = [
      'DCGM_FI_DEV_FB_USED{gpu="0"} 9223372036854775794',
      'DCGM_FI_DEV_GPU_TEMP{gpu="0"} 2147483632',
    ]
      .concat('DCGM_FI_DEV_GPU_UTIL{gpu="0"} 5')
      .join('\n');
    expect(parseGpuMetrics(text, ALL)?.gpus).toMatchObject([
      { vramUsedBytes: undefined, temperatureC: undefined, utilization: 0.05 },
    ]);
  });

  it('DCGM: the parts of a divided GPU (MIG) count, the whole beside them does not', () => {
    const of = (part: string, used: number) => {
      const labels = `gpu="0",UUID="GPU-a1",modelName="NVIDIA A100"${part}`;
      return `DCGM_FI_DEV_FB_USED{${labels}} ${used}\nDCGM_FI_DEV_FB_FREE{${labels}} ${10_000 - used}\n`;
    };
    const text =
      of('', 9_000) +
      of(',GPU_I_PROFILE="1g.10gb",GPU_I_ID="7"', 1_000) +
      of(',GPU_I_PROFILE="1g.10gb",GPU_I_ID="8"', 2_000);
    const gpus = parseGpuMetrics(text, ALL)?.gpus ?? [];
    expect(gpus.map(({ vramUsedBytes }) => (vramUsedBytes ?? 0) / MIB)).toEqual([1_000, 2_000]);
  });

  it('DCGM: a GPU that pods share is one GPU', () => {
    const text = ['a', 'b', 'c']
      .map((pod) => `DCGM_FI_DEV_FB_USED{gpu="0",UUID="GPU-a1",pod="${pod}"} 100\n`)
      .join('');
    expect(parseGpuMetrics(text, ALL)?.gpus).toHaveLength(1);
  });

  it('DCGM: samples of other hosts are left out by their labels', () => {
    const other = DCGM.replaceAll('gpu-host-1', 'gpu-host-2').replaceAll('GPU-', 'GPU-x');
    const match = { Hostname: 'gpu-host-1' };
    expect(parseGpuMetrics(DCGM + other, ALL)?.gpus).toHaveLength(4);
    expect(parseGpuMetrics(DCGM + other, { ...ALL, match })?.gpus).toHaveLength(2);
    expect(parseGpuMetrics(DCGM, { ...ALL, match: { Hostname: 'none' } })).toBeUndefined();
  });

  it('nvidia_gpu_exporter: bytes and shares, with its name and index from other series', () => {
    expect(parseGpuMetrics(NVIDIA_SMI, ALL)?.gpus).toEqual([
      {
        index: 3,
        name: 'NVIDIA GeForce RTX 2080 SUPER',
        vendor: 'nvidia',
        vramTotalBytes: 8 * GIB,
        vramUsedBytes: 706_740_224,
        utilization: 0.61,
        temperatureC: 34,
        powerW: 28.07,
        isThrottled: true,
      },
    ]);
  });

  it.each([
    ['without a prefix', AMD],
    ['with the prefix of newer versions', AMD.replace(/^gpu_/gm, 'amd_gpu_')],
  ])('AMD device-metrics-exporter, %s', (_what, text) => {
    expect(parseGpuMetrics(text, ALL)?.gpus).toMatchObject([
      {
        index: 0,
        vendor: 'amd',
        vramTotalBytes: 196_592 * MIB,
        vramUsedBytes: 285 * MIB,
        utilization: 0.12,
        temperatureC: 43,
        powerW: 141,
        isThrottled: undefined,
      },
      { index: 1, vramTotalBytes: 196_592 * MIB, vramUsedBytes: undefined },
    ]);
  });

  it('node_exporter: an AMD card by its driver, and the machine around it', () => {
    const text = `node_drm_gpu_busy_percent{card="card1"} 50
node_drm_memory_vram_used_bytes{card="card1"} 7.8118912e+07
node_drm_memory_vram_size_bytes{card="card1"} 8.573157376e+09
node_memory_MemTotal_bytes 6.7e+10
node_memory_MemAvailable_bytes 3.2e+10
node_load1 1.25
`;
    expect(parseGpuMetrics(text, ALL)).toMatchObject({
      gpus: [
        {
          index: 1,
          vendor: 'amd',
          vramTotalBytes: 8_573_157_376,
          vramUsedBytes: 78_118_912,
          utilization: 0.5,
        },
      ],
      host: { memoryTotalBytes: 6.7e10, memoryAvailableBytes: 3.2e10, load1: 1.25 },
    });
  });

  it('a text without GPUs tells of none', () => {
    for (const text of ['', 'go_goroutines 7\n', '<html>', 'DCGM_FI_DEV_FB_USED', 'node_load1 1\n'])
      expect(parseGpuMetrics(text, ALL)).toBeUndefined();
  });
});

describe('the text format', () => {
  const any = () => true;
  it.each([
    ['m 1', 1, {}],
    ['m{} 1', 1, {}],
    ['m{a="b"} 1', 1, { a: 'b' }],
    ['m{ a = "b" , c="d", } 1 1788387174142', 1, { a: 'b', c: 'd' }],
    ['m{a="b"}1', 1, { a: 'b' }],
    ['m{a="q\\"\\\\\\n}"} -1.5e-3', -0.0015, { a: 'q"\\\n}' }],
    ['m{a="b"} 1 # {trace_id="x"} 0.5', 1, { a: 'b' }],
    ['  m{a="b"}\t+2\r', 2, { a: 'b' }],
  ])('%j is a sample', (line, value, labels) => {
    const [sample] = parseSamples(line, any, 10);
    expect(sample && { value: sample.value, labels: Object.fromEntries(sample.labels) }).toEqual({
      value,
      labels,
    });
  });

  it.each([
    'm',
    'm{',
    'm{a="b" 1',
    'm{a=b} 1',
    'm{a="b"} NaN',
    'm +Inf',
    'm 1 2 3',
    'm{a="b"} 1x',
    '9m 1',
    '# m 1',
  ])('%j is none', (line) => {
    expect(parseSamples(line, any, 10)).toEqual([]);
  });

  it('is bounded in samples, labels and length of lines', () => {
    expect(parseSamples('m 1\n'.repeat(100), any, 10)).toHaveLength(10);
    const labels = Array.from({ length: 65 }, (_, i) => `l${i}="x"`).join(',');
    expect(parseSamples(`m{${labels}} 1`, any, 10)).toEqual([]);
    expect(parseSamples(`m{a="${'x'.repeat(20_000)}"} 1\nm 2`, any, 10)).toHaveLength(1);
  });
});

it('10,000 hostile texts end in figures that a machine can have, or in none (F66)', () => {
  const name = fc.constantFrom(
    'DCGM_FI_DEV_FB_USED',
    'DCGM_FI_DEV_FB_FREE',
    'DCGM_FI_DEV_FB_TOTAL',
    'DCGM_FI_DEV_GPU_UTIL',
    'DCGM_FI_DEV_GPU_TEMP',
    'DCGM_FI_DEV_POWER_USAGE',
    'DCGM_FI_DEV_CLOCK_THROTTLE_REASONS',
    'nvidia_smi_memory_total_bytes',
    'nvidia_smi_index',
    'amd_gpu_total_vram',
    'node_memory_MemTotal_bytes',
    'toString',
    '__proto__',
  );
  const label = fc.string({ unit: 'binary', maxLength: 20 });
  const value = fc.oneof(
    fc.double().map(String),
    fc.bigInt().map(String),
    fc.constantFrom('NaN', '+Inf', '-1', '1e308', '9223372036854775794', ''),
  );
  const line = fc.oneof(
    fc
      .tuple(name, label, label, value)
      .map(([n, gpu, model, v]) => `${n}{gpu="${gpu}",modelName="${model}"} ${v}`),
    fc.string({ unit: 'binary', maxLength: 60 }),
  );
  fc.assert(
    fc.property(fc.array(line, { maxLength: 12 }), (lines) => {
      const report = parseGpuMetrics(lines.join('\n'), ALL);
      for (const gpu of report?.gpus ?? []) {
        for (const bytes of [gpu.vramTotalBytes, gpu.vramUsedBytes])
          if (bytes !== undefined) expect(bytes >= 0 && bytes <= 3 * 2 ** 44).toBe(true);
        if (gpu.utilization !== undefined) expect(gpu.utilization >= 0 && gpu.utilization <= 1).toBe(true);
        if (gpu.temperatureC !== undefined) expect(gpu.temperatureC).toBeLessThanOrEqual(200);
        expect(gpu.name).toMatch(/^[\x20-\x7e]{0,128}$/);
        expect(gpu.index).toBeGreaterThanOrEqual(0);
      }
      expect(report?.gpus.length ?? 0).toBeLessThanOrEqual(64);
    }),
    { numRuns: 10_000 },
  );
});
