import { describe, expect, it } from 'vitest';
import { Fleet, type StatusChange } from '../../../src/app/fleet.ts';
import { DEFAULT_HEALTH } from '../../../src/fleet/params.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { onDisk, resident, spec } from '../fleet/builders.ts';

const SEEN = { kind: 'resident', models: [], rttMs: 1 } as const;

function fleetOf(...ids: string[]) {
  const clock = new FakeClock({ now: 100 });
  return {
    clock,
    fleet: new Fleet(
      ids.map((id) => spec(id)),
      DEFAULT_HEALTH,
      clock,
    ),
  };
}

describe('the snapshot', () => {
  it('is the same object until something changes', () => {
    const { fleet } = fleetOf('n1');
    const first = fleet.snapshot();
    expect(fleet.snapshot()).toBe(first);
    fleet.observe('n1', SEEN);
    const second = fleet.snapshot();
    expect(second.version).toBe(first.version + 1);
    expect(first.nodes[0]?.residentAt).toBeUndefined();
    expect(second.nodes[0]?.residentAt).toBe(100);
  });

  it('is renewed with time, for what only time changes', async () => {
    const { fleet, clock } = fleetOf('n1');
    const first = fleet.snapshot();
    await clock.advance(499);
    expect(fleet.snapshot()).toBe(first);
    await clock.advance(1);
    expect(fleet.snapshot()).not.toBe(first);
  });

  it('of a large fleet is renewed at most every 20 ms', async () => {
    const { fleet, clock } = fleetOf(...Array.from({ length: 201 }, (_, index) => `n${index}`));
    const first = fleet.snapshot();
    fleet.observe('n1', SEEN);
    expect(fleet.snapshot()).toBe(first);
    await clock.advance(20);
    expect(fleet.snapshot()).not.toBe(first);
  });
});

describe('F89: a fleet of thousands', () => {
  const ids = Array.from({ length: 2_000 }, (_, index) => `n${index}`);

  it('is taken over in slices, whether somebody asks or not', async () => {
    const { fleet, clock } = fleetOf(...ids);
    for (const id of ids) fleet.observe(id, SEEN);
    await clock.advance(200);
    for (const id of ids) fleet.observe(id, { kind: 'version', version: '0.24.0' });
    await clock.advance(20);
    const versions = () => fleet.snapshot().nodes.filter(({ version }) => version !== undefined).length;
    expect(versions()).toBeGreaterThan(0);
    expect(versions()).toBeLessThan(ids.length);
    await clock.advance(100);
    expect(versions()).toBe(ids.length);
  });

  it('shows a node that went down before all that was merely polled', async () => {
    const { fleet, clock } = fleetOf(...ids);
    for (const id of ids) fleet.observe(id, SEEN);
    await clock.advance(200);
    for (const id of ids) fleet.observe(id, SEEN);
    for (let strike = 0; strike < 2; strike += 1)
      fleet.observe('n1999', { kind: 'poll_failed', reason: 'refused', detail: 'x' });
    await clock.advance(20);
    expect(fleet.snapshot().byId.get('n1999')?.status).toBe('down');
  });

  it('loses nodes without a trace in the index, and keeps the others', async () => {
    const { fleet, clock } = fleetOf(...ids);
    for (const id of ids) fleet.observe(id, { kind: 'tags', models: [onDisk('m:latest')], rttMs: 1 });
    await clock.advance(200);
    const before = fleet.snapshot();
    const kept = ids.filter((_, index) => index % 3 !== 0);
    fleet.replaceNodes(
      kept.map((id) => spec(id)),
      DEFAULT_HEALTH,
    );
    await clock.advance(200);
    const { nodes, byId, byModel } = fleet.snapshot();
    expect(nodes.map(({ id }) => id).sort()).toEqual([...kept].sort());
    expect(byModel.get('m:latest')).toHaveLength(kept.length);
    expect(byId.has('n0')).toBe(false);
    expect(kept.every((id) => byId.get(id)?.id === id)).toBe(true);
    expect(before.byId.get('n0')?.id).toBe('n0');
    expect(before.byModel.get('m:latest')).toHaveLength(ids.length);
  });
});

describe('a new configuration', () => {
  it('keeps what was learnt of a node that stays, forgets those that go, and starts new ones afresh', () => {
    const { fleet } = fleetOf('stays', 'goes');
    fleet.observe('stays', { ...SEEN, models: [resident('m:latest')] });
    fleet.replaceNodes([spec('stays', { weight: 2 }), spec('new')], DEFAULT_HEALTH);
    expect([...fleet.nodes.keys()]).toEqual(['stays', 'new']);
    expect(fleet.nodes.get('stays')).toMatchObject({ spec: { weight: 2 } });
    expect(fleet.nodes.get('stays')?.resident.size).toBe(1);
    expect(fleet.nodes.get('new')?.health.status).toBe('unknown');
  });

  it.each([
    { what: 'port', url: { scheme: 'http', host: '10.0.0.1', port: 11435 } },
    { what: 'host', url: { scheme: 'http', host: '10.0.0.2', port: 11434 } },
    { what: 'scheme', url: { scheme: 'https', host: '10.0.0.1', port: 11434 } },
  ] as const)('that gives a node another $what makes it another node', ({ url }) => {
    const { fleet } = fleetOf('n1');
    fleet.observe('n1', SEEN);
    fleet.replaceNodes([spec('n1', { url })], DEFAULT_HEALTH);
    expect(fleet.nodes.get('n1')?.seenAt.resident).toBeUndefined();
  });

  it('forgets the addresses of nodes that are gone', () => {
    const { fleet } = fleetOf('n1');
    fleet.observe('n1', { kind: 'address', address: '10.0.0.1:11434', hosts: [] });
    expect(fleet.nodeAt('10.0.0.1:11434')).toBe('n1');
    fleet.replaceNodes([], DEFAULT_HEALTH);
    expect(fleet.nodeAt('10.0.0.1:11434')).toBeUndefined();
  });
});

describe('listeners', () => {
  it('hear of every change, and of each change of status with where it came from', () => {
    const { fleet } = fleetOf('n1');
    const statuses: Pick<StatusChange, 'node' | 'from' | 'to'>[] = [];
    let changes = 0;
    fleet.onChange(() => {
      changes += 1;
    });
    fleet.onStatusChange(({ node, from, to }) => statuses.push({ node, from, to }));
    fleet.observe('n1', SEEN);
    fleet.observe('n1', { kind: 'poll_failed', reason: 'refused', detail: 'x' });
    expect(statuses).toEqual([
      { node: 'n1', from: 'unknown', to: 'ready' },
      { node: 'n1', from: 'ready', to: 'suspect' },
    ]);
    expect(changes).toBe(2);
  });

  it('hear nothing of a node that has left while its poll was under way', () => {
    const { fleet } = fleetOf();
    let changes = 0;
    fleet.onChange(() => {
      changes += 1;
    });
    fleet.observe('gone', SEEN);
    expect(changes).toBe(0);
  });
});

it('two nodes with one address: the first keeps it', () => {
  const { fleet } = fleetOf('n1', 'n2');
  for (const id of ['n2', 'n1']) fleet.observe(id, { kind: 'address', address: '10.0.0.1:1', hosts: [] });
  expect(fleet.nodeAt('10.0.0.1:1')).toBe('n1');
});
