import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { reported } from '../../../src/agent/gpu/gpus.ts';
import { NvidiaCollector } from '../../../src/agent/gpu/nvidia.ts';
import { parseMig } from '../../../src/agent/gpu/nvidia-mig.ts';
import { NVIDIA_FIELDS, parseNvidiaCsv } from '../../../src/agent/gpu/nvidia-smi.ts';
import { reportSchema } from '../../../src/app/agents/agent-protocol.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { failed, ok, recorded, tools } from './recordings.ts';

const MIB = 1024 * 1024;
const FIELDS = NVIDIA_FIELDS.map(([name]) => name);
const NEVER = new AbortController().signal;
const parse = (name: string) => parseNvidiaCsv(recorded(name), FIELDS).map(({ gpu }) => gpu);

describe('the CSV of nvidia-smi', () => {
  it('shows each card with its figures', () => {
    expect(parse('nvidia-two-cards.csv')).toEqual([
      {
        index: 0,
        name: 'NVIDIA GeForce RTX 4090',
        vendor: 'nvidia',
        vramTotalBytes: 24_564 * MIB,
        vramUsedBytes: 20_311 * MIB,
        utilization: 0.87,
        temperatureC: 71,
        powerW: 312.45,
        // Bit 0x4: at its power limit, as a card at work should be.
        isThrottled: false,
        uuid: 'GPU-5b1f3a52-0c0e-4d3a-9a57-1f7bb9c0d2aa',
        isIntegrated: false,
      },
      expect.objectContaining({ index: 1, vramUsedBytes: MIB, utilization: 0, isThrottled: false }),
    ]);
  });

  it('shows a card that is slowed by heat', () => {
    expect(parse('nvidia-throttled.csv')[0]).toMatchObject({ isThrottled: true, temperatureC: 92 });
  });

  it('leaves out what an old laptop card does not tell', () => {
    expect(parse('nvidia-laptop.csv')[0]).toMatchObject({
      vramTotalBytes: 4096 * MIB,
      vramUsedBytes: 3 * MIB,
      utilization: undefined,
      powerW: undefined,
      temperatureC: 47,
    });
  });

  it.each(['nvidia-gb10.csv', 'nvidia-jetson.csv'])('knows a chip without memory of its own: %s', (name) => {
    expect(parse(name)[0]).toMatchObject({
      isIntegrated: true,
      vramTotalBytes: undefined,
      vramUsedBytes: undefined,
    });
  });

  it('does not take a card for one without memory when it fails to tell', () => {
    const gpus = parse('nvidia-unknown-errors.csv');
    expect(gpus.map(({ isIntegrated }) => isIntegrated)).toEqual([false, false]);
    expect(gpus[0]).toMatchObject({
      vramTotalBytes: 49_140 * MIB,
      vramUsedBytes: undefined,
      isThrottled: undefined,
    });
    expect(gpus[1]).toMatchObject({
      vramTotalBytes: undefined,
      temperatureC: undefined,
      isThrottled: undefined,
    });
  });

  it('never throws, and never answers what the control plane would refuse, whatever is printed', () => {
    const gpus = reportSchema.shape.gpus;
    const value = fc.oneof(
      fc.string(),
      fc.constantFrom(
        '[N/A]',
        '-1',
        '1e308',
        '99999999999999999999',
        '0xFFFFFFFFFFFFFFFF',
        '\u001b[31m',
        'NaN',
        '',
      ),
      fc.double().map(String),
      fc.integer().map(String),
    );
    fc.assert(
      fc.property(fc.array(fc.array(value, { minLength: 10, maxLength: 10 }), { maxLength: 70 }), (rows) => {
        const csv = rows.map((row) => row.join(', ')).join('\n');
        const answer = parseNvidiaCsv(csv, FIELDS).map(({ gpu }) => reported(gpu));
        expect(gpus.safeParse(answer).success).toBe(true);
      }),
      { numRuns: 300 },
    );
  });
});

describe('GPUs that are partitioned', () => {
  it('are reported slice by slice, beside those that are whole', async () => {
    const { run } = tools({
      'nvidia-smi --query-gpu': ok(recorded('nvidia-mig.csv')),
      'nvidia-smi -q -x': ok(recorded('nvidia-mig.xml')),
      'nvidia-smi -L': ok(recorded('nvidia-list.txt')),
    });
    const reading = await new NvidiaCollector(run, new FakeClock()).collect(NEVER);
    expect(
      reading?.gpus.map(({ name, vramTotalBytes, vramUsedBytes, uuid }) => [
        name,
        (vramTotalBytes ?? 0) / MIB,
        (vramUsedBytes ?? 0) / MIB,
        uuid,
      ]),
    ).toEqual([
      ['NVIDIA A100-SXM4-40GB', 40_960, 31_022, 'GPU-f0b1c2d3-1111-4444-8888-0123456789ab'],
      ['NVIDIA A100-SXM4-40GB MIG 3g.20gb', 19_968, 11_265, 'MIG-c7384736-a75d-5afc-978f-d2f1294409fd'],
      ['NVIDIA A100-SXM4-40GB MIG 1g.5gb', 4_864, 12, 'MIG-a28ad590-3fda-56dd-84fc-0a0b96edc58d'],
    ]);
    expect(reading?.problem).toBeUndefined();
  });

  it('are told of where no slice can be seen', async () => {
    const { run } = tools({
      'nvidia-smi --query-gpu': ok(recorded('nvidia-mig-container.csv')),
      'nvidia-smi -q -x': ok('<nvidia_smi_log></nvidia_smi_log>'),
      'nvidia-smi -L': ok('GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-x)\n'),
    });
    const reading = await new NvidiaCollector(run, new FakeClock()).collect(NEVER);
    expect(reading).toEqual({ gpus: [], problem: expect.stringContaining('MIG mode') });
  });

  it('survive any text', () => {
    const whole = parse('nvidia-mig.csv');
    fc.assert(
      fc.property(fc.string(), fc.string(), (xml, list) => {
        expect(parseMig(`<gpu id="x"><mig_device>${xml}`, list, whole).length).toBeLessThanOrEqual(16);
      }),
    );
  });
});

describe('the collector of NVIDIA', () => {
  it('asks older drivers by the names that they know, and remembers them', async () => {
    const { run, asked } = tools({
      [`nvidia-smi --query-gpu=${FIELDS.join(',')}`]: failed(recorded('nvidia-unknown-field.txt')),
      'nvidia-smi --query-gpu=index,uuid,name,memory.total,memory.used,utilization.gpu,temperature.gpu,power.draw,clocks_throttle_reasons.active':
        ok(recorded('nvidia-throttled.csv')),
    });
    const collector = new NvidiaCollector(run, new FakeClock());
    expect((await collector.collect(NEVER))?.gpus[0]).toMatchObject({ name: 'Tesla P40', isThrottled: true });
    await collector.collect(NEVER);
    expect(asked).toHaveLength(3);
  });

  it('does without a field that a driver knows by no name', async () => {
    const { run } = tools({
      'nvidia-smi': () => {
        const last = scripted.asked.at(-1) ?? '';
        const unknown =
          /mig\.mode\.current|clocks_event_reasons\.active|clocks_throttle_reasons\.active/.exec(last)?.[0];
        return unknown === undefined
          ? ok('0, GPU-11111111-2222, Tesla K80, 11441, 0, 0, 30, 26.1\n')
          : failed(`Field "${unknown}" is not a valid field to query.\n`);
      },
    });
    const scripted = { asked: [] as string[] };
    const collector = new NvidiaCollector((file, args, signal) => {
      scripted.asked.push([file, ...args].join(' '));
      return run(file, args, signal);
    }, new FakeClock());
    expect((await collector.collect(NEVER))?.gpus).toEqual([
      expect.objectContaining({ name: 'Tesla K80', isThrottled: undefined, vramTotalBytes: 11_441 * MIB }),
    ]);
  });

  it.each([
    ['nvidia-no-driver.txt', "couldn't communicate with the NVIDIA driver"],
    ['nvidia-mismatch.txt', 'Driver/library version mismatch'],
  ])('passes on what is wrong with the driver: %s', async (name, words) => {
    const { run } = tools({ 'nvidia-smi': failed(recorded(name)) });
    const reading = await new NvidiaCollector(run, new FakeClock()).collect(NEVER);
    expect(reading).toEqual({ gpus: [], problem: expect.stringContaining(words) });
  });

  it('reports the cards that are left when one fell off the bus', async () => {
    const { run } = tools({ 'nvidia-smi': failed(recorded('nvidia-lost.csv')) });
    const reading = await new NvidiaCollector(run, new FakeClock()).collect(NEVER);
    expect(reading?.gpus).toHaveLength(1);
    expect(reading?.problem).toContain('Unable to determine the device handle');
  });

  it('finds the tool that Windows brings into WSL, and looks for one that is missing once a minute', async () => {
    const wsl = tools({ '/usr/lib/wsl/lib/nvidia-smi': ok(recorded('nvidia-wsl.csv')) });
    const reading = await new NvidiaCollector(wsl.run, new FakeClock()).collect(NEVER);
    expect(reading?.gpus[0]?.name).toBe('NVIDIA GeForce RTX 4070 Ti');

    const none = tools({});
    const clock = new FakeClock();
    const collector = new NvidiaCollector(none.run, clock);
    for (let second = 0; second < 59; second++) {
      expect(await collector.collect(NEVER)).toBeUndefined();
      await clock.advance(1_000);
    }
    expect(none.asked).toHaveLength(3);
    await clock.advance(1_000);
    await collector.collect(NEVER);
    expect(none.asked).toHaveLength(6);
  });

  it('leaves a tool that hung alone for half a minute', async () => {
    const { run, asked } = tools({ 'nvidia-smi': { kind: 'timeout' } });
    const clock = new FakeClock();
    const collector = new NvidiaCollector(run, clock);
    expect((await collector.collect(NEVER))?.problem).toContain('did not answer in time');
    await clock.advance(29_000);
    await collector.collect(NEVER);
    expect(asked).toHaveLength(1);
    await clock.advance(2_000);
    await collector.collect(NEVER);
    expect(asked).toHaveLength(2);
  });

  it('says nothing where the driver is there and no card is', async () => {
    const { run } = tools({ 'nvidia-smi': failed('No devices were found\n') });
    expect(await new NvidiaCollector(run, new FakeClock()).collect(NEVER)).toBeUndefined();
  });
});
