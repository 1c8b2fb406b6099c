import { afterEach, expect, it } from 'vitest';
import type { Fault } from '../../src/demo/faults.ts';
import { startSimulatedNode } from '../../src/demo/node-simulator.ts';
import { realEnvoy } from '../support/envoy.ts';
import { figure } from '../support/figures.ts';
import { send } from '../support/http-client.ts';
import { describeReal } from '../support/require-real.ts';
import { pause, waitFor } from '../support/wait-for.ts';
import { ask, closeArenas, MODEL, QUICK, startArena } from './faults/arena.ts';
import { described, failures, generateBody, isWhole, Load, maxAttempts, type Sample } from './faults/load.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

const small = (model = MODEL, tokens = 4) => {
  const body = generateBody(model, KIB, { tokens });
  return () => body;
};

describeReal(await realEnvoy(), 'nodes that come and go', () => {
  afterEach(closeArenas);

  it('F61: a flapping node costs one failed first attempt per flap at most', async () => {
    const arena = await startArena();
    await arena.countFromHere();
    const node = arena.fleet.node('n1');
    const load = new Load(arena.url, { perSecond: 50, body: small() });
    const flaps = 5;
    for (let flap = 0; flap < flaps; flap++) {
      await node.setFault({ kind: 'refuse' });
      await pause(800);
      await node.setFault(undefined);
      await pause(1_000);
    }
    const samples = await load.stop();
    expect(failures(samples)).toEqual([]);
    expect(maxAttempts(samples)).toBeLessThanOrEqual(2);
    const failed = samples.filter((each) => each.attempts === 2).length;
    figure('F61 flapping node', { flaps, requests: samples.length, failedFirstAttempts: failed });
    expect(failed).toBeLessThanOrEqual(flaps);
    await arena.settled();
    await arena.expectLedgersAgree(samples, { unseen: failed });
  });

  it('F62: a crowd that asks for a cold model makes two nodes load it at most, and none gives up', async () => {
    const arena = await startArena({
      warm: false,
      // Three seconds: far longer than a warm node may take to its first byte.
      common: { loadBytesPerSecond: (64 * MIB) / 3 },
      config: { routing: { firstByteTimeout: '500ms', loadTimeout: '60s', defaultLoadRate: '20MiB' } },
    });
    await arena.countFromHere();
    const samples = await ask(arena, 40);
    expect(failures(samples)).toEqual([]);
    expect(maxAttempts(samples)).toBe(1);
    const loads = arena.fleet.nodes.map((node) => node.stats().loads);
    expect(loads.reduce((sum, each) => sum + each, 0)).toBeLessThanOrEqual(2);
    figure('F62 cold crowd', { requests: samples.length, nodesThatLoaded: loads.filter(Boolean).length });
    await arena.settled();
    await arena.expectLedgersAgree(samples);
  });

  it('F68: a node that comes back is eased in, never overrun', async () => {
    const slots = 4;
    const arena = await startArena({
      common: { slots },
      slots,
      config: { health: { readmitAfter: '500ms', slowStart: '3s' } },
    });
    const node = arena.fleet.node('n1');
    // 500 ms each at 36 per second: 18 at once, of twelve slots without it. Some wait, or it would be left alone at first.
    const load = new Load(arena.url, { perSecond: 36, body: small(MODEL, 200) });
    await pause(1_500);
    node.kill();
    await arena.waitForStatus('n1', ['down']);
    await node.start();
    await node.load(MODEL);
    await arena.waitForStatus('n1', ['ready']);
    let most = 0;
    const until = performance.now() + 4_000;
    while (performance.now() < until) {
      const { running, waitingForSlot } = node.stats();
      most = Math.max(most, running + waitingForSlot);
      await pause(10);
    }
    const samples = await load.stop();
    const broken = samples.filter((each) => !isWhole(each));
    expect(
      broken.filter(({ node: name, answer }) => name !== 'n1' || answer?.status !== 200).map(described),
    ).toEqual([]);
    expect(most).toBeGreaterThan(0);
    expect(most).toBeLessThanOrEqual(slots);
    figure('F68 recovered node', { slots, mostAtOnce: most });
    await arena.settled();
  });

  it('F70: another machine at the address of a node is known by what it has', async () => {
    const arena = await startArena({ count: 2 });
    const gone = arena.fleet.node('n1');
    await gone.close();
    await arena.waitForStatus('n1', ['down']);
    const models = [{ name: 'gamma:latest', sizeBytes: 64 * MIB }];
    const other = await startSimulatedNode({ ...QUICK, name: 'other', models, port: gone.port });
    try {
      await arena.waitForStatus('n1', ['ready']);
      await waitFor('its models', async () => (await arena.node('n1')).models.includes('gamma:latest'));
      const alpha = await ask(arena, 20);
      expect(failures(alpha)).toEqual([]);
      expect(new Set(alpha.map((each) => each.node))).toEqual(new Set(['n2']));
      expect(maxAttempts(alpha)).toBe(1);
      const gamma = await ask(arena, 4, generateBody('gamma', KIB));
      expect(failures(gamma)).toEqual([]);
      expect(new Set(gamma.map((each) => each.node))).toEqual(new Set(['n1']));
      await arena.settled();
    } finally {
      await other.close();
    }
  });
});

describeReal(await realEnvoy(), 'polls that mislead', () => {
  afterEach(closeArenas);

  it('F66: a node that lies about its memory harms neither the others nor the control plane', async () => {
    const arena = await startArena();
    const { controlPlane } = arena.warmpath.pids;
    const node = arena.fleet.node('n1');
    const load = new Load(arena.url, { perSecond: 30, body: small() });
    const resident = (fields: object): string =>
      JSON.stringify({ models: [{ name: MODEL, model: MODEL, size: 1, digest: 'a'.repeat(64), ...fields }] });
    const hostile = '<img src=x onerror=alert(1)>\r\nx: y\u0000';
    const lies: [path: '/api/ps' | '/api/tags', body: string][] = [
      ['/api/ps', `${'['.repeat(200_000)}${']'.repeat(200_000)}`],
      ['/api/ps', resident({ size_vram: -1e308, size: 1e308, expires_at: '0001-01-01T00:00:00Z' })],
      ['/api/ps', resident({ size_vram: 1e308, context_length: -1, expires_at: '9999-12-31T23:59:59Z' })],
      ['/api/ps', '{"models":[{"name":"alpha:latest","size_vram":NaN}]}'],
      ['/api/ps', '{"models":{"name":7}}'],
      ['/api/ps', 'x'.repeat(8 * MIB)],
      ['/api/tags', JSON.stringify({ models: [{ name: hostile, model: hostile, size: 'big', digest: 7 }] })],
      [
        '/api/tags',
        JSON.stringify({ models: Array.from({ length: 30_000 }, (_, i) => ({ name: `m${i}`, size: i })) }),
      ],
      ['/api/tags', `{"models":[${'{"models":'.repeat(5_000)}`],
    ];
    for (const [on, body] of lies) {
      await node.setFault({ kind: 'reply', status: 200, on, body });
      await pause(on === '/api/ps' ? 350 : 1_200);
    }
    const { text } = await send(`${arena.url}/api/tags`);
    const samples = await load.stop();
    expect(failures(samples)).toEqual([]);
    expect(arena.warmpath.pids.controlPlane).toBe(controlPlane);
    expect(text).not.toContain('onerror');
    const share = samples.filter((each) => each.node === 'n1').length / samples.length;
    figure('F66 lying node', { requests: samples.length, liarsShare: share.toFixed(2) });
    expect(share).toBeLessThan(0.75);
    await node.setFault(undefined);
    await arena.waitForStatus('n1', ['ready']);
    await arena.settled();
  });

  it('F67: a node whose inventory is slow goes on serving', async () => {
    const arena = await startArena({
      each: (index) =>
        index === 0 ? { models: [...QUICK.models, { name: 'gamma:latest', sizeBytes: MIB }] } : {},
    });
    await arena.countFromHere();
    const node = arena.fleet.node('n1');
    const samples: Sample[] = await ask(arena, 1, generateBody('gamma', KIB));
    await node.setFault({ kind: 'delay', on: 'reads', ms: 5_000 });
    const load = new Load(arena.url, { perSecond: 20, body: small('gamma') });
    const statuses = new Set<string>();
    const until = performance.now() + 5_000;
    while (performance.now() < until) {
      statuses.add((await arena.node('n1')).status);
      await pause(100);
    }
    samples.push(...(await load.stop()));
    expect(failures(samples)).toEqual([]);
    expect(maxAttempts(samples)).toBe(1);
    expect([...statuses]).not.toContain('down');
    await arena.settled();
    await arena.expectLedgersAgree(samples);
  });

  it('F69: where every poll fails but nodes serve, clients are served', async () => {
    const arena = await startArena();
    await arena.countFromHere();
    const fault: Fault = { kind: 'reply', on: 'reads', status: 500, message: 'no' };
    for (const node of arena.fleet.nodes) await node.setFault(fault);
    // Without traffic nothing speaks for them.
    for (const { name } of arena.fleet.nodes) await arena.waitForStatus(name, ['down']);
    const load = new Load(arena.url, { perSecond: 40, body: small() });
    await pause(3_000);
    const samples = await load.stop();
    expect(failures(samples)).toEqual([]);
    expect(maxAttempts(samples)).toBe(1);
    expect(samples.every((each) => each.routed)).toBe(true);
    for (const node of arena.fleet.nodes) await node.setFault(undefined);
    await arena.warmpath.waitForNodes();
    await arena.settled();
    await arena.expectLedgersAgree(samples);
  });
});
