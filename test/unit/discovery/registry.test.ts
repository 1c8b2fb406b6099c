import { afterEach, describe, expect, it } from 'vitest';
import { NodeAdminError } from '../../../src/app/registry/registry-types.ts';
import { agent, type BenchOptions, candidate, configured, RegistryBench } from './registry-bench.ts';

const open: RegistryBench[] = [];

async function bench(options: BenchOptions = {}): Promise<RegistryBench> {
  const made = await new RegistryBench(options).start();
  open.push(made);
  return made;
}

afterEach(async () => {
  for (const one of open.splice(0)) await one.end();
});

describe('who makes up the fleet', () => {
  it('are the configured nodes, at once and whatever they answer', async () => {
    const b = await bench({ nodes: [configured('gpu1', '10.0.0.1')] });
    expect(b.members).toEqual(['gpu1']);
    expect(b.registry.get('gpu1')).toMatchObject({ source: 'config', state: 'member' });
  });

  it('is a discovered node only after it has answered as Ollama', async () => {
    const b = await bench();
    b.answers.set('10.0.0.2:11434', { problem: 'does not answer as Ollama' });
    b.registry.found('dns', [candidate('10.0.0.2')]);
    await b.settle();
    expect(b.members).toEqual([]);
    expect(b.registry.get('10.0.0.2')).toMatchObject({
      state: 'candidate',
      problem: 'does not answer as Ollama',
    });
    b.answers.delete('10.0.0.2:11434');
    await b.settle(3_000);
    expect(b.members).toEqual(['10.0.0.2']);
    expect(b.problem('10.0.0.2')).toBeUndefined();
  });

  it('asks a candidate that fails less and less often, at least once a minute', async () => {
    const b = await bench();
    b.answers.set('10.0.0.2:11434', { problem: 'no' });
    b.registry.found('dns', [candidate('10.0.0.2')]);
    await b.settle(10 * 60_000);
    expect(b.probed.length).toBeGreaterThanOrEqual(10);
    expect(b.probed.length).toBeLessThan(20);
  });

  it('hears of a change of members once, and not where nothing has changed', async () => {
    const b = await bench();
    b.registry.found('dns', [candidate('10.0.0.2'), candidate('10.0.0.3')]);
    await b.settle();
    expect(b.changes).toBe(1);
    b.registry.found('dns', [candidate('10.0.0.2'), candidate('10.0.0.3')]);
    await b.settle(20_000);
    expect(b.changes).toBe(1);
  });

  it('gives the fleet the same object for a node that has not changed', async () => {
    const b = await bench();
    b.registry.found('dns', [candidate('10.0.0.2')]);
    await b.settle();
    const [before] = b.registry.members();
    b.registry.found('dns', [candidate('10.0.0.2'), candidate('10.0.0.3')]);
    await b.settle();
    expect(b.registry.members()[0]).toBe(before);
  });
});

describe('trust (S19, S20)', () => {
  const lan = candidate('192.168.1.5', { source: 'mdns', name: 'lan' });
  const far = candidate('203.0.113.9', { source: 'mdns', name: 'far' });
  const listed = candidate('10.0.0.7', { source: 'file', name: 'listed', identity: 'file#listed' });
  const joined = agent('box', '10.0.0.8');
  // Clusters of IPv6 alone give their pods public addresses.
  const pod = candidate('[2001:db8::7]:11434', {
    source: 'kubernetes',
    name: 'pod',
    identity: 'pod:one:11434',
  });

  it.each([
    { trust: 'token' as const, want: ['listed', 'box', 'pod'] },
    { trust: 'lan' as const, want: ['lan', 'listed', 'box', 'pod'] },
    { trust: 'manual' as const, want: ['listed'] },
  ])('$trust lets in $want without being asked', async ({ trust, want }) => {
    const b = await bench({ policy: { trust } });
    b.registry.found('mdns', [lan, far]);
    b.registry.found('file', [listed]);
    b.registry.found('inferencepool:ai/ollama', [pod]);
    b.registry.join(joined);
    await b.settle();
    expect(b.members.sort()).toEqual([...want].sort());
    expect(b.problem('far')).toMatch(/waits for approval.*warmpath nodes approve far/);
  });

  it('takes in what an operator approves, and says so for the audit', async () => {
    const b = await bench({ policy: { trust: 'manual' } });
    b.registry.found('mdns', [lan]);
    await b.settle();
    await b.registry.approve('lan');
    await b.settle();
    expect(b.members).toEqual(['lan']);
    expect(b.log.lines.map(({ fields }) => ('audit' in fields ? fields.audit : ''))).toEqual(
      expect.arrayContaining(['node_approved', 'node_joined']),
    );
  });

  it('takes in who waits as soon as a new policy allows it', async () => {
    const b = await bench({ policy: { trust: 'manual' } });
    b.registry.found('mdns', [lan]);
    await b.settle(300_000);
    b.policy = { ...b.policy, trust: 'lan' };
    b.registry.configure([]);
    await b.settle();
    expect(b.members).toEqual(['lan']);
  });

  it('does not take an approved address that is no Ollama', async () => {
    const b = await bench({ policy: { trust: 'manual' } });
    b.answers.set('192.168.1.5:11434', { problem: 'is Warmpath itself: requests would go in a circle' });
    b.registry.found('mdns', [lan]);
    await b.settle();
    await b.registry.approve('lan');
    await b.settle();
    expect(b.members).toEqual([]);
    expect(b.problem('lan')).toMatch(/circle/);
  });
});

describe('removal', () => {
  it('keeps a node out however often it is found again, until it is approved', async () => {
    const b = await bench();
    b.registry.found('dns', [candidate('10.0.0.2')]);
    await b.settle();
    await b.registry.remove('10.0.0.2');
    expect(b.members).toEqual([]);
    b.registry.found('dns', [candidate('10.0.0.2')]);
    await b.settle(300_000);
    expect(b.members).toEqual([]);
    await b.registry.approve('10.0.0.2');
    await b.settle();
    expect(b.members).toEqual(['10.0.0.2']);
  });

  it('keeps an agent out, and tells it why', async () => {
    const b = await bench();
    b.registry.join(agent('box', '10.0.0.8'));
    await b.settle();
    await b.registry.remove('box');
    expect(() => b.registry.join(agent('box', '10.0.0.8'))).toThrow(
      /operator removed box.*nodes approve box/,
    );
  });

  it.each([
    { what: 'a node of the configuration', id: 'gpu1', reason: 'refused', says: /configuration file/ },
    { what: 'a node that nobody knows', id: 'gpu9', reason: 'unknown_node', says: /nodes list/ },
  ])('is refused for $what', async ({ id, reason, says }) => {
    const b = await bench({ nodes: [configured('gpu1', '10.0.0.1')] });
    const error = await b.registry.remove(id).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(NodeAdminError);
    expect(error).toMatchObject({ reason, message: expect.stringMatching(says) });
  });

  it('changes nothing while the store cannot keep it', async () => {
    const b = await bench();
    b.registry.found('dns', [candidate('10.0.0.2')]);
    await b.settle();
    const { putDocument } = b.store;
    b.store.putDocument = () => Promise.reject(new Error('down'));
    await expect(b.registry.remove('10.0.0.2')).rejects.toMatchObject({ reason: 'store_down' });
    expect(b.members).toEqual(['10.0.0.2']);
    b.store.putDocument = putDocument;
  });
});

describe('identity, not address (F70)', () => {
  it('keeps the name of an identity that moves, once it answers at its new address', async () => {
    const b = await bench();
    b.registry.join(agent('box', '10.0.0.8'));
    await b.settle();
    const { identity } = b.registry.members()[0] ?? {};
    b.answers.set('10.0.0.9:11434', { problem: 'does not answer' });
    b.registry.join(agent('box', '10.0.0.9'));
    await b.settle();
    expect(b.places()).toEqual({ box: '10.0.0.8:11434' });
    b.answers.delete('10.0.0.9:11434');
    await b.settle(3_000);
    expect(b.places()).toEqual({ box: '10.0.0.9:11434' });
    expect(b.registry.members()[0]?.identity).toBe(identity);
  });

  it('knows another pod on the same address as another node', async () => {
    const pod = (uid: string) =>
      candidate('10.1.0.4', { source: 'kubernetes', name: 'ollama-0', identity: `pod:${uid}` });
    const b = await bench();
    b.registry.found('k8s', [pod('one')]);
    await b.settle();
    expect(b.members).toEqual(['ollama-0']);
    b.busy.add('ollama-0');
    b.registry.found('k8s', [pod('two')]);
    await b.settle();
    // The first is gone with its machine: nothing waits for its requests.
    expect(b.members).toHaveLength(1);
    expect(b.members[0]).toMatch(/^ollama-0-[0-9a-f]{4}$/);
    expect(b.registry.members()[0]?.identity).toBe('id:pod:two');
  });

  it('follows two identities that swap their addresses', async () => {
    const b = await bench();
    const list = (a: string, c: string) => [
      candidate(a, { name: 'a', identity: 'A' }),
      candidate(c, { name: 'c', identity: 'C' }),
    ];
    b.registry.found('k8s', list('10.0.0.1', '10.0.0.2'));
    await b.settle();
    b.registry.found('k8s', list('10.0.0.2', '10.0.0.1'));
    await b.settle();
    expect(b.places()).toEqual({ a: '10.0.0.2:11434', c: '10.0.0.1:11434' });
  });

  it('lets no second key take the name or the address of an agent', async () => {
    const b = await bench();
    b.registry.join(agent('box', '10.0.0.8', 'first'));
    await b.settle();
    expect(() => b.registry.join(agent('box', '10.0.0.9', 'second'))).toThrow(/name box belongs to another/);
    b.registry.join(agent('thief', '10.0.0.8', 'second'));
    await b.settle();
    expect(b.members).toEqual(['box']);
    expect(b.problem('thief')).toBe('has the same address as node box; remove one of them');
  });

  it('takes a name from a mere candidate for an agent that proved its key', async () => {
    const b = await bench({ policy: { trust: 'token' } });
    b.registry.found('mdns', [candidate('192.168.1.66', { source: 'mdns', name: 'box' })]);
    await b.settle();
    expect(b.registry.join(agent('box', '10.0.0.8')).id).toBe('box');
    await b.settle();
    expect(b.members).toEqual(['box']);
  });

  it('ties the agent of a configured node to the first key, and only at its address', async () => {
    const b = await bench({ nodes: [configured('gpu1', '10.0.0.1')] });
    expect(b.registry.join(agent('gpu1', '10.0.0.1', 'first'))).toMatchObject({
      id: 'gpu1',
      source: 'config',
    });
    expect(b.registry.get('gpu1')?.identity).toBe('first');
    expect(() => b.registry.join(agent('gpu1', '10.0.0.1', 'second'))).toThrow(/another agent's key/);
    expect(() => b.registry.join(agent('gpu1', '10.0.0.7', 'first'))).toThrow(/another address/);
    expect(() => b.registry.join(agent('other', '10.0.0.1', 'third'))).toThrow(/--node gpu1/);
    await b.settle();
    expect(b.members).toEqual(['gpu1']);
  });
});

describe('address clashes', () => {
  it('are reported, not duplicated: a configured node wins', async () => {
    const b = await bench({ nodes: [configured('gpu1', '10.0.0.1')] });
    b.registry.found('dns', [candidate('10.0.0.1', { name: 'twin' })]);
    await b.settle();
    expect(b.members).toEqual(['gpu1']);
    expect(b.problem('twin')).toMatch(/same address as node gpu1/);
  });

  it('end with the one that says who it is, where the other is an address and nothing more', async () => {
    const b = await bench();
    b.registry.found('dns', [candidate('10.0.0.1', { name: 'a-record' })]);
    await b.settle();
    b.registry.join(agent('box', '10.0.0.1'));
    await b.settle(120_000);
    expect(b.members).toEqual(['box']);
    expect(b.problem('a-record')).toMatch(/same address as node box/);
  });

  it('are seen behind different names by what they resolve to', async () => {
    const b = await bench();
    b.answers.set('gpu1.lan:11434', { ips: ['10.0.0.1'] });
    b.registry.found('srv', [candidate('gpu1.lan')]);
    await b.settle();
    b.registry.found('dns', [candidate('10.0.0.1')]);
    await b.settle();
    expect(b.members).toEqual(['gpu1.lan']);
    expect(b.problem('10.0.0.1')).toMatch(/same address as node gpu1.lan/);
  });

  it('put a discovered node out when the configuration names its address or its name', async () => {
    const b = await bench();
    b.registry.found('dns', [candidate('10.0.0.1', { name: 'a' }), candidate('10.0.0.2', { name: 'c' })]);
    await b.settle();
    b.registry.configure([configured('mine', '10.0.0.1'), configured('c', '10.0.0.9')]);
    await b.settle();
    expect(b.places()).toMatchObject({ mine: '10.0.0.1:11434', c: '10.0.0.9:11434' });
    expect(b.members).toHaveLength(3);
    expect(b.members.at(-1)).toMatch(/^c-[0-9a-f]{4}$/);
  });
});

describe('sources that lose sight', () => {
  const list = (...hosts: number[]) => hosts.map((n) => candidate(`10.0.0.${n}`));

  it('lets a node go that is no longer named: drained first, out when its requests have ended', async () => {
    const b = await bench();
    b.registry.found('dns', list(1, 2, 3));
    await b.settle();
    b.busy.add('10.0.0.3');
    b.registry.found('dns', list(1, 2));
    await b.settle(60_000);
    expect(b.registry.members().find(({ id }) => id === '10.0.0.3')?.drain).toBe(true);
    expect(b.registry.get('10.0.0.3')?.state).toBe('gone');
    b.busy.clear();
    await b.settle(1_000);
    expect(b.members).toEqual(['10.0.0.1', '10.0.0.2']);
    expect(b.registry.get('10.0.0.3')).toBeUndefined();
  });

  it('takes a node back that is named again before it has left', async () => {
    const b = await bench();
    b.registry.found('dns', list(1, 2, 3));
    await b.settle();
    b.busy.add('10.0.0.3');
    b.registry.found('dns', list(1, 2));
    await b.settle(5_000);
    b.registry.found('dns', list(1, 2, 3));
    await b.settle();
    expect(b.registry.members().map(({ drain }) => drain)).toEqual([false, false, false]);
  });

  it('waits ten minutes at most for the requests of a node that is gone', async () => {
    const b = await bench();
    b.registry.found('dns', list(1, 2, 3));
    await b.settle();
    b.busy.add('10.0.0.3');
    b.registry.found('dns', list(1, 2));
    await b.settle(601_000);
    expect(b.members).toEqual(['10.0.0.1', '10.0.0.2']);
  });

  it('keeps all members of a source that suddenly names nobody', async () => {
    const b = await bench();
    b.registry.found('dns', list(1, 2));
    await b.settle();
    for (let i = 0; i < 100; i++) {
      b.registry.found('dns', []);
      await b.settle(30_000);
    }
    expect(b.members).toEqual(['10.0.0.1', '10.0.0.2']);
    expect(b.log.messages('warn')).toHaveLength(1);
    expect(b.log.messages('warn')[0]).toMatch(/dns no longer names 2 of its 2 nodes/);
  });

  it('believes that most are gone only after two minutes of saying so', async () => {
    const b = await bench();
    b.registry.found('dns', list(1, 2, 3, 4, 5));
    await b.settle();
    b.registry.found('dns', list(1));
    await b.settle(60_000);
    b.registry.found('dns', list(1));
    await b.settle(10_000);
    expect(b.members).toHaveLength(5);
    await b.settle(60_000);
    b.registry.found('dns', list(1));
    await b.settle(5_000);
    expect(b.members).toEqual(['10.0.0.1']);
  });

  it('lets a node stay that another source names as well', async () => {
    const b = await bench();
    const pod = candidate('10.0.0.1', { identity: 'pod:1', name: 'p' });
    b.registry.found('one', [pod]);
    b.registry.found('two', [pod]);
    await b.settle();
    b.registry.forget('one');
    await b.settle(5_000);
    expect(b.members).toEqual(['p']);
    b.registry.forget('two');
    await b.settle(5_000);
    expect(b.members).toEqual([]);
  });
});

describe('bounds (S19)', () => {
  it('takes in no more members than configured, and says so', async () => {
    const b = await bench({ policy: { maxNodes: 3 } });
    b.registry.found(
      'dns',
      [1, 2, 3, 4].map((n) => candidate(`10.0.0.${n}`)),
    );
    await b.settle(3_000);
    expect(b.members).toHaveLength(3);
    expect(b.problem('10.0.0.4')).toMatch(/raise discovery.maxNodes/);
  });

  it('forgets what strangers announce beyond twice as many, and still has room for others', async () => {
    const b = await bench({ policy: { trust: 'token', maxNodes: 10 } });
    for (let i = 0; i < 50; i++) {
      const flood = Array.from({ length: 200 }, (_, n) =>
        candidate(`10.${i}.0.${n + 1}`, { source: 'mdns', name: `fake-${i}-${n}` }),
      );
      b.registry.found('mdns', flood);
    }
    await b.settle();
    expect(b.registry.list()).toHaveLength(20);
    // Nothing of it reaches the store.
    expect((await b.store.documents('registry')).size).toBe(0);
    expect(b.log.messages('warn')).toEqual([expect.stringMatching(/mdns names more nodes than are kept/)]);
    b.registry.join(agent('box', '192.168.1.2'));
    await b.settle();
    expect(b.members).toEqual(['box']);
  });

  it('refuses agents beyond agents.maxNodes', async () => {
    const b = await bench({ policy: { maxAgents: 2 } });
    b.registry.join(agent('a', '10.0.0.1'));
    b.registry.join(agent('b', '10.0.0.2'));
    expect(() => b.registry.join(agent('c', '10.0.0.3'))).toThrow(/agents.maxNodes/);
    expect(b.registry.join(agent('a', '10.0.0.1')).id).toBe('a');
  });

  it('probes a bounded number at the same time', async () => {
    const b = await bench();
    b.probeMs = 100;
    b.registry.found(
      'dns',
      Array.from({ length: 50 }, (_, n) => candidate(`10.0.0.${n + 1}`)),
    );
    await b.settle(5_000);
    expect(b.mostAtOnce).toBe(16);
    expect(b.members).toHaveLength(50);
  });
});
