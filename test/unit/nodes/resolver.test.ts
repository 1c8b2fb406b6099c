import { describe, expect, it } from 'vitest';
import { limitLookups } from '../../../src/nodes/limit-lookups.ts';
import { Resolver } from '../../../src/nodes/resolver.ts';
import { systemLookup } from '../../../src/nodes/system-lookup.ts';

/** A name service that the test rewrites. */
function scripted(host = 'gpu1.example', fields = {}) {
  const service: { answer: readonly string[] | Error; asked: string[] } = { answer: [], asked: [] };
  const resolver = new Resolver(host, 11_434, {
    lookup: async (name) => {
      service.asked.push(name);
      if (service.answer instanceof Error) throw service.answer;
      return service.answer;
    },
    listeners: [],
    localIps: [],
    ...fields,
  });
  return { service, resolver };
}

const failed = (code: string) => Object.assign(new Error(code), { code });

describe('the address of a node (F88)', () => {
  it('is the first that its name leads to', async () => {
    const { service, resolver } = scripted();
    service.answer = ['10.0.0.1', '10.0.0.2'];
    expect(resolver.current).toBeUndefined();
    await resolver.refresh();
    expect(resolver.current).toBe('10.0.0.1');
    expect(service.asked).toEqual(['gpu1.example']);
  });

  it('stays while the name still leads to it, in whatever order', async () => {
    const { service, resolver } = scripted();
    service.answer = ['10.0.0.1'];
    await resolver.refresh();
    service.answer = ['10.0.0.3', '10.0.0.2', '10.0.0.1'];
    await resolver.refresh();
    expect(resolver.current).toBe('10.0.0.1');
    service.answer = ['10.0.0.3', '10.0.0.2'];
    await resolver.refresh();
    expect(resolver.current).toBe('10.0.0.3');
  });

  it.each([
    { name: 'NXDOMAIN', answer: failed('ENOTFOUND'), want: 'dns: name not found' },
    {
      name: 'a name service that is down',
      answer: failed('EAI_AGAIN'),
      want: 'dns: name service not available',
    },
    { name: 'an answer without addresses', answer: [], want: 'dns: name has no address' },
    {
      name: 'rebinding to loopback',
      answer: ['127.0.0.1', '::1'],
      want: 'dns: name leads to no permitted address',
    },
    { name: 'rebinding to loopback in IPv6 clothes', answer: ['::ffff:127.0.0.1'], want: 'permitted' },
    { name: 'rebinding to cloud metadata', answer: ['169.254.169.254'], want: 'permitted' },
    { name: 'metadata through NAT64', answer: ['64:ff9b::a9fe:a9fe'], want: 'permitted' },
    { name: 'metadata over IPv6', answer: ['fd00:ec2::254'], want: 'permitted' },
    { name: 'a link-local address', answer: ['fe80::1'], want: 'permitted' },
    { name: 'multicast', answer: ['224.0.0.1', 'ff02::1'], want: 'permitted' },
    { name: 'no machine', answer: ['0.0.0.0', '::'], want: 'permitted' },
    { name: 'text that is no address', answer: ['gpu1', '010.0.0.1', '1'], want: 'permitted' },
  ])('stays as it was after $name', async ({ answer, want }) => {
    const { service, resolver } = scripted();
    service.answer = ['10.0.0.1'];
    await resolver.refresh();
    service.answer = answer;
    await expect(resolver.refresh()).rejects.toThrow(want);
    expect(resolver.current).toBe('10.0.0.1');
  });

  it('is taken from the permitted ones where an answer mixes', async () => {
    const { service, resolver } = scripted();
    service.answer = ['169.254.169.254', '10.0.0.9'];
    await resolver.refresh();
    expect(resolver.candidates).toEqual(['10.0.0.9']);
  });

  it.each(['localhost', 'gpu.localhost', '127.0.0.1', '::1'])(
    'may be a loopback address for %s',
    async (host) => {
      const { service, resolver } = scripted(host);
      service.answer = ['127.0.0.1'];
      await resolver.refresh();
      expect(resolver.current).toBe(host === '::1' ? '::1' : '127.0.0.1');
    },
  );

  it('is the literal itself, without asking', async () => {
    const { service, resolver } = scripted('fd12::7');
    await resolver.refresh();
    expect(resolver.current).toBe('fd12::7');
    expect(service.asked).toEqual([]);
  });

  it('is never one that leads back to us', async () => {
    const listeners = [{ host: '0.0.0.0', port: 11_434 }];
    const { service, resolver } = scripted('gpu1.example', { listeners, localIps: ['192.168.1.5'] });
    service.answer = ['192.168.1.5'];
    await expect(resolver.refresh()).rejects.toThrow('permitted');
    service.answer = ['192.168.1.6'];
    await resolver.refresh();
    expect(resolver.current).toBe('192.168.1.6');
  });

  it('comes from a bounded list', async () => {
    const { service, resolver } = scripted();
    service.answer = Array.from({ length: 100 }, (_, i) => `10.0.0.${i + 1}`);
    await resolver.refresh();
    expect(resolver.candidates).toHaveLength(16);
  });

  it('gives way to another of the same name that answers', async () => {
    const { service, resolver } = scripted();
    service.answer = ['10.0.0.1', '10.0.0.2', '10.0.0.3'];
    await resolver.refresh();
    expect([resolver.alternate(), resolver.alternate(), resolver.alternate()]).toEqual([
      '10.0.0.2',
      '10.0.0.3',
      '10.0.0.2',
    ]);
    resolver.settleOn('10.0.0.3');
    expect(resolver.current).toBe('10.0.0.3');
    resolver.settleOn('10.9.9.9');
    expect(resolver.current).toBe('10.0.0.3');
  });
});

describe('lookups', () => {
  it('run two at a time, in order, and failures free their place', async () => {
    const open: { host: string; end: (error?: Error) => void }[] = [];
    const limited = limitLookups(
      (host) =>
        new Promise((resolve, reject) =>
          open.push({ host, end: (error) => (error ? reject(error) : resolve([host])) }),
        ),
      2,
    );
    const asked = ['a', 'b', 'c', 'd'].map((host) => limited(host).catch(() => 'failed'));
    const turn = () => new Promise((resolve) => setImmediate(resolve));
    await turn();
    expect(open.map(({ host }) => host)).toEqual(['a', 'b']);
    open[0]?.end(new Error('no'));
    await turn();
    open[1]?.end();
    await turn();
    expect(open.map(({ host }) => host)).toEqual(['a', 'b', 'c', 'd']);
    open[2]?.end();
    open[3]?.end();
    expect(await Promise.all(asked)).toEqual(['failed', ['b'], ['c'], ['d']]);
  });

  it('of the machine itself put IPv4 first', async () => {
    expect((await systemLookup('localhost'))[0]).toBe('127.0.0.1');
  });
});
