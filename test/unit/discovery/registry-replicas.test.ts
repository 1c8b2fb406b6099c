import { afterEach, describe, expect, it } from 'vitest';
import { MemoryStore } from '../../../src/store/memory.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { agent, type BenchOptions, candidate, configured, RegistryBench } from './registry-bench.ts';

const open: RegistryBench[] = [];

async function bench(options: BenchOptions = {}): Promise<RegistryBench> {
  const made = await new RegistryBench(options).start();
  open.push(made);
  return made;
}

/** Two replicas over one store. */
async function pair(options: BenchOptions = {}) {
  const clock = new FakeClock();
  const store = new MemoryStore(clock, { isShared: true });
  const a = await bench({ ...options, clock, store, replica: 'a' });
  const b = await bench({ ...options, clock, store, replica: 'b' });
  return { a, b, store, clock };
}

afterEach(async () => {
  for (const one of open.splice(0)) await one.end();
});

describe('a restart', () => {
  it('finds members, approvals, removals and names as they were, before any source has spoken', async () => {
    const clock = new FakeClock();
    const store = new MemoryStore(clock, { isShared: true });
    const first = await bench({ clock, store, policy: { trust: 'token' } });
    first.registry.join(agent('box', '10.0.0.8'));
    first.registry.found('k8s', [
      candidate('10.0.0.2', { name: 'ok', identity: 'pod:1', labels: { zone: 'a' }, settings: { slots: 4 } }),
      candidate('10.0.0.3', { name: 'bad', identity: 'pod:2' }),
    ]);
    await first.settle();
    await first.registry.approve('ok');
    await first.registry.remove('bad');
    await first.settle();
    await first.end();

    const second = await bench({ clock, store, policy: { trust: 'token' } });
    expect(second.members.sort()).toEqual(['box', 'ok']);
    expect(second.registry.get('ok')).toMatchObject({
      identity: 'pod:1',
      spec: { labels: { zone: 'a' }, slots: 4, drain: false },
    });
    expect(second.registry.get('bad')?.state).toBe('removed');
  });

  it('lets go of members whose source is configured no more', async () => {
    const clock = new FakeClock();
    const store = new MemoryStore(clock, { isShared: true });
    const first = await bench({ clock, store });
    first.registry.found('dns:old', [candidate('10.0.0.2')]);
    first.registry.found('dns:kept', [candidate('10.0.0.3')]);
    first.registry.join(agent('box', '10.0.0.8'));
    await first.settle();
    await first.end();
    const second = await bench({ clock, store });
    second.registry.keepSources(new Set(['dns:kept']));
    await second.settle(3_000);
    expect(second.members.sort()).toEqual(['10.0.0.3', 'box']);
  });

  it('keeps no token in the store, and waits for the file that has it', async () => {
    const clock = new FakeClock();
    const store = new MemoryStore(clock, { isShared: true });
    const first = await bench({ clock, store });
    const listed = candidate('10.0.0.2', {
      name: 'gpu',
      source: 'file',
      identity: 'file#gpu',
      settings: { token: 'hush-hush-token' },
    });
    first.registry.found('file', [listed]);
    await first.settle();
    expect(first.registry.members()[0]?.token).toBe('hush-hush-token');
    expect(JSON.stringify([...(await store.documents('registry'))])).not.toContain('hush');
    await first.end();
    const second = await bench({ clock, store });
    await second.settle(5_000);
    expect(second.members).toEqual([]);
    second.registry.found('file', [listed]);
    await second.settle();
    expect(second.members).toEqual(['gpu']);
  });

  it('keeps one key to a configured node', async () => {
    const clock = new FakeClock();
    const store = new MemoryStore(clock, { isShared: true });
    const nodes = [configured('gpu1', '10.0.0.1')];
    const first = await bench({ clock, store, nodes });
    first.registry.join(agent('gpu1', '10.0.0.1', 'first'));
    await first.settle();
    await first.end();
    const second = await bench({ clock, store, nodes });
    expect(() => second.registry.join(agent('gpu1', '10.0.0.1', 'second'))).toThrow(/another agent's key/);
  });

  it.each([
    { name: 'no object', value: 'x' },
    { name: 'an unknown shape', value: { kind: 'node', id: '../..' } },
    { name: 'an address of cloud metadata', value: { url: 'http://169.254.169.254:80' } },
    { name: 'no URL at all', value: { url: 'file:///etc/passwd' } },
  ])('ignores a document with $name, and says so once (F46)', async ({ value }) => {
    const clock = new FakeClock();
    const store = new MemoryStore(clock, { isShared: true });
    const good = {
      kind: 'node',
      id: 'evil',
      url: 'http://10.0.0.1:11434',
      source: 'dns',
      sourceKey: 'dns',
      labels: {},
      state: 'member',
      needsSource: false,
      settings: {},
      firstSeenAt: '2026-01-01T00:00:00.000Z',
      changedAt: '2026-01-01T00:00:00.000Z',
    };
    await store.putDocument('registry', 'fine', good);
    const document =
      typeof value === 'string' || 'kind' in value ? value : { ...good, ...value, id: 'worse' };
    await store.putDocument('registry', 'bad', document);
    const b = await bench({ clock, store });
    await b.settle(60_000);
    expect(b.members).toEqual(['evil']);
    expect(b.log.messages('warn').filter((line) => /not what Warmpath writes/.test(line))).toHaveLength(1);
  });
});

describe('two replicas', () => {
  it('have the same members within a second of one hearing of a node', async () => {
    const { a, b } = await pair();
    a.registry.join(agent('box', '10.0.0.8'));
    await a.settle(1_000);
    expect(a.members).toEqual(['box']);
    expect(b.members).toEqual(['box']);
    expect(b.registry.get('box')?.identity).toBe('key-box');
  });

  it('follow an agent that reports to the other one from a new address', async () => {
    const { a, b } = await pair();
    a.registry.join(agent('box', '10.0.0.8'));
    await a.settle(1_000);
    b.registry.join(agent('box', '10.0.0.9'));
    await a.settle(1_000);
    expect(a.places()).toEqual({ box: '10.0.0.9:11434' });
    expect(b.places()).toEqual({ box: '10.0.0.9:11434' });
  });

  it('obey an operator who spoke to the other one', async () => {
    const { a, b } = await pair({ policy: { trust: 'manual' } });
    const found = [candidate('10.0.0.2')];
    a.registry.found('dns', found);
    b.registry.found('dns', found);
    await a.settle();
    await b.registry.approve('10.0.0.2');
    await a.settle(1_000);
    expect(a.members).toEqual(['10.0.0.2']);
    await a.registry.remove('10.0.0.2');
    await a.settle(1_000);
    expect(b.members).toEqual([]);
    expect(b.registry.get('10.0.0.2')?.state).toBe('removed');
  });

  it('let a node go together', async () => {
    const { a, b } = await pair();
    for (const one of [a, b]) one.registry.found('dns', [candidate('10.0.0.2'), candidate('10.0.0.3')]);
    await a.settle(1_000);
    for (const one of [a, b]) one.registry.found('dns', [candidate('10.0.0.2')]);
    await a.settle(5_000);
    expect([a.members, b.members]).toEqual([['10.0.0.2'], ['10.0.0.2']]);
    await a.settle(60_000);
    expect([a.members, b.members]).toEqual([['10.0.0.2'], ['10.0.0.2']]);
  });

  it('agree on who has a name that two nodes want', async () => {
    const { a, b } = await pair();
    a.registry.found('k8s', [candidate('10.0.0.2', { name: 'gpu', identity: 'pod:a' })]);
    b.registry.found('dns', [candidate('10.0.0.3', { name: 'gpu', identity: 'pod:b' })]);
    await a.settle(15_000);
    expect(a.places()).toEqual(b.places());
    expect(Object.keys(a.places())).toHaveLength(2);
    expect(a.members).toContain('gpu');
  });

  it('fill a store that has lost its data again, and lose nobody', async () => {
    const { a, b, store } = await pair();
    a.registry.join(agent('box', '10.0.0.8'));
    b.registry.found('dns', [candidate('10.0.0.2')]);
    await a.settle(1_000);
    for (const id of (await store.documents('registry')).keys()) await store.deleteDocument('registry', id);
    await a.settle(30_000);
    expect(a.members.sort()).toEqual(['10.0.0.2', 'box']);
    expect(b.members.sort()).toEqual(['10.0.0.2', 'box']);
    expect((await store.documents('registry')).size).toBe(2);
  });

  it('go on while the store is down, say so once, and make up for it', async () => {
    const { a, b, store } = await pair();
    const { putDocument, documents } = store;
    store.putDocument = () => Promise.reject(new Error('down'));
    store.documents = () => Promise.reject(new Error('down'));
    a.registry.join(agent('box', '10.0.0.8'));
    await a.settle(30_000);
    expect(a.members).toEqual(['box']);
    expect(b.members).toEqual([]);
    expect(a.log.messages('warn')).toHaveLength(1);
    store.putDocument = putDocument;
    store.documents = documents;
    await a.settle(15_000);
    expect(b.members).toEqual(['box']);
  });
});
