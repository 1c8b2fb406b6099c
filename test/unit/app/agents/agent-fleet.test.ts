import { describe, expect, it } from 'vitest';
import { gpuReport } from '../../../../src/app/agents/agent-fleet.ts';
import { reportSchema } from '../../../../src/app/agents/agent-protocol.ts';
import { newNode } from '../../../../src/fleet/new-node.ts';
import { spec } from '../../fleet/builders.ts';
import { AgentBench, aReport, NAME } from './bench.ts';

const MAINTENANCE = { on: true, note: 'new fan' };

describe('what an agent tells', () => {
  it('becomes a GPU report that is good for three intervals, and for 5 s at least', () => {
    expect(gpuReport(aReport({ intervalMs: 5_000 })).validForMs).toBe(15_000);
    expect(gpuReport(aReport({ intervalMs: 100 })).validForMs).toBe(5_000);
  });

  it('is kept within what a machine can have, and in letters that harm no terminal (F66, S15)', () => {
    const [gpu] = aReport().gpus;
    if (gpu === undefined) throw new Error('no GPU');
    const lying = {
      ...gpu,
      name: 'RTX\u001b[2J<img src=x>\n\u202e4090',
      vramTotalBytes: Number.MAX_SAFE_INTEGER,
      vramUsedBytes: Number.MAX_SAFE_INTEGER,
    };
    const report = gpuReport(aReport({ gpus: [lying, { ...gpu, vramUsedBytes: 2 ** 40 }] }));
    expect(report.gpus[0]).toMatchObject({ vramTotalBytes: 2 ** 44, name: 'RTX[2J<img src=x>4090' });
    expect(report.gpus[1]?.vramUsedBytes).toBe(gpu.vramTotalBytes);
  });

  it('is read by a schema that takes no NaN, no negative and no endless figure', () => {
    const [gpu] = aReport().gpus;
    for (const vramTotalBytes of [-1, Number.NaN, 1e308, Number.POSITIVE_INFINITY, 1.5, '1']) {
      const gpus = [{ ...gpu, vramTotalBytes }];
      expect(reportSchema.safeParse({ ...aReport(), gpus }).success).toBe(false);
    }
  });
});

describe('drains', () => {
  it('come and go with maintenance and with the owner, each by itself', () => {
    const { fleet, drains, drainCalls } = new AgentBench();
    fleet.heard(NAME, aReport({ maintenance: MAINTENANCE }));
    expect(drains.get('gpu1 maintenance')?.note).toBe('new fan');
    fleet.heard(NAME, aReport({ maintenance: MAINTENANCE, ownerInUse: true }));
    expect([...drains.keys()]).toEqual(['gpu1 maintenance', 'gpu1 owner_hours']);
    fleet.heard(NAME, aReport({ ownerInUse: true }));
    expect([...drains.keys()]).toEqual(['gpu1 owner_hours']);
    fleet.heard(NAME, aReport());
    expect(drains.size).toBe(0);
    expect(drainCalls).toHaveLength(5);
  });

  it('are said once, not with every report, and keep their begin', async () => {
    const { fleet, drains, drainCalls, clock } = new AgentBench();
    fleet.heard(NAME, aReport({ ownerInUse: true }));
    const first = drains.get('gpu1 owner_hours');
    await clock.advance(60_000);
    fleet.heard(NAME, aReport({ ownerInUse: true }));
    expect(drains.get('gpu1 owner_hours')).toBe(first);
    expect(drainCalls).toEqual(['gpu1 maintenance off', 'gpu1 owner_hours on']);
  });

  it('left from before a restart end with the first report that wants none', () => {
    const { fleet, drainCalls } = new AgentBench();
    fleet.heard(NAME, aReport());
    expect(drainCalls).toEqual(['gpu1 maintenance off', 'gpu1 owner_hours off']);
  });

  it('end when their agent has been silent for two minutes, not before', async () => {
    const { fleet, drains, clock } = new AgentBench();
    const stop = new AbortController();
    const running = fleet.run(stop.signal);
    fleet.heard(NAME, aReport({ maintenance: MAINTENANCE, ownerInUse: true }));
    await clock.advance(119_000);
    expect(drains.size).toBe(2);
    await clock.advance(3_000);
    expect(drains.size).toBe(0);
    expect(fleet.size).toBe(0);
    stop.abort();
    await running;
  });

  it('stay when the agent reports to another replica now', async () => {
    const { fleet, drains, records, clock } = new AgentBench();
    fleet.heard(NAME, aReport({ ownerInUse: true }));
    await clock.advance(60_000);
    const elsewhere = { report: gpuReport(aReport()), at: clock.now() };
    records.set(NAME, { ...newNode(spec(NAME), 0), gpu: { agent: elsewhere } });
    await clock.advance(120_000);
    fleet.sweep();
    expect(drains.size).toBe(1);
    expect(fleet.size).toBe(0);
  });
});

it('an agent that falls silent is logged once, and once when it returns', async () => {
  const { fleet, records, log, clock } = new AgentBench();
  records.set(NAME, newNode(spec(NAME), 0));
  fleet.heard(NAME, aReport());
  await clock.advance(15_001);
  fleet.sweep();
  fleet.sweep();
  expect(log.messages('warn')).toEqual([
    'the agent of gpu1 has fallen silent: its GPU figures are no longer used',
  ]);
  fleet.heard(NAME, aReport());
  expect(log.messages('info')).toEqual(['the agent of gpu1 reports again']);
});
