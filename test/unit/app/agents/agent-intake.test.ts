import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  AGENT_TIME_WINDOW_MS,
  generateAgentKey,
  MAX_AGENT_BODY_BYTES,
} from '../../../../src/app/agents/agent-protocol.ts';
import { spec } from '../../fleet/builders.ts';
import { AgentBench, NAME, nonceOf, SENDER, TOKEN } from './bench.ts';

const key = generateAgentKey();
const other = generateAgentKey();
const byUrl = (url: string) => ({ url });

describe('joining', () => {
  it('needs the token, never shown, and makes the key the owner of the name', async () => {
    const bench = new AgentBench();
    const request = bench.join(key);
    expect(JSON.stringify(request)).not.toContain(TOKEN);
    const reply = await bench.intake.handle(request);
    expect(reply).toMatchObject({ status: 200, body: { node: NAME, state: 'member' } });
    expect(bench.registry.get(NAME)).toMatchObject({ identity: key.publicKey, source: 'agent' });
  });

  it('is refused with another token, before the body is looked at', async () => {
    const bench = new AgentBench();
    const request = bench.join(key, {}, {}, 'another-token-altogether');
    expect(await bench.intake.handle({ ...request, body: Buffer.from('{') })).toMatchObject({
      status: 401,
      result: 'bad_signature',
    });
    expect(bench.registry.joins).toBe(0);
  });

  it('under the name of another key is refused, even with the token (S20)', async () => {
    const bench = new AgentBench();
    await bench.joined(key);
    expect(await bench.intake.handle(bench.join(other))).toMatchObject({ status: 409, result: 'name_taken' });
    expect(bench.registry.get(NAME)?.identity).toBe(key.publicKey);
  });

  it('again with the same key moves the node to its new address (F70)', async () => {
    const bench = new AgentBench();
    await bench.joined(key);
    const moved = bench.join(key, byUrl('http://192.168.1.77:11434'), { sender: '192.168.1.77' });
    expect(await bench.send(moved)).toBe('accepted');
    expect(bench.registry.get(NAME)?.spec.url.host).toBe('192.168.1.77');
  });

  it('is refused for a node that an operator removed', async () => {
    const bench = new AgentBench();
    await bench.joined(key);
    bench.registry.change(NAME, { state: 'removed' });
    expect(await bench.intake.handle(bench.join(key))).toMatchObject({ status: 403, result: 'removed' });
    expect(await bench.send(bench.report(key))).toBe('removed');
    expect(bench.observations).toEqual([]);
  });

  it('tells the agent that an operator must approve it', async () => {
    const bench = new AgentBench();
    await bench.joined(key);
    bench.registry.change(NAME, { state: 'candidate', problem: 'nobody has approved it' });
    expect(await bench.intake.handle(bench.report(key))).toMatchObject({
      body: { node: NAME, state: 'candidate', problem: 'nobody has approved it' },
    });
  });

  it('stops at the cap of nodes, while known ones still may (S19: 1e6 fake nodes)', async () => {
    const bench = new AgentBench({ maxNodes: 3 });
    for (let i = 0; i < 3; i++) await bench.joined(generateAgentKey(), `n${i}`);
    const late = await bench.intake.handle(bench.join(key, { node: 'n3' }));
    expect(late).toMatchObject({ status: 403, result: 'full' });
    expect(JSON.stringify(late.body)).toContain('agents.maxNodes');
    await bench.clock.advance(1_000);
    expect(bench.registry.nodes.size).toBe(3);
  });

  it.each([
    ['a key of another kind', { publicKey: 'AAAA' }, 'invalid'],
    ['labels with control characters', { labels: { a: 'x\u001b[2J' } }, 'invalid'],
    ['a label that changes its direction', { labels: { a: 'x\u202etxt' } }, 'invalid'],
    ['a label key with blanks', { labels: { 'a b': 'x' } }, 'invalid'],
    [
      'more labels than anybody needs',
      { labels: Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`k${i}`, 'v'])) },
      'invalid',
    ],
    ['an unknown field', { admin: true } as object, 'invalid'],
  ])('with %s is refused', async (_what, body, want) => {
    const bench = new AgentBench();
    expect(await bench.send(bench.join(key, body))).toBe(want);
    expect(bench.registry.joins).toBe(0);
  });

  it('speaks for the node that it was configured with, at the address of the configuration only', async () => {
    const bench = new AgentBench();
    bench.registry.configure(spec(NAME, { url: { scheme: 'http', host: '203.0.113.5', port: 11434 } }));
    const near = byUrl('http://203.0.113.5:11434');
    expect(await bench.send(bench.join(key, near, { sender: '198.51.100.9' }))).toBe('refused_address');
    expect(await bench.send(bench.join(key, near, { sender: '203.0.113.5' }))).toBe('accepted');
    expect(bench.registry.get(NAME)?.spec.url.host).toBe('203.0.113.5');
    expect(await bench.send(bench.join(other, near, { sender: '203.0.113.5' }))).toBe('name_taken');
  });
});

describe('addresses that an agent names (S18)', () => {
  const refusedUrls = [
    'http://169.254.169.254',
    'http://169.254.169.254/latest/meta-data',
    'http://127.0.0.1:6379',
    'http://[::1]:11434',
    'http://[::ffff:127.0.0.1]:11434',
    'http://[::ffff:169.254.169.254]:80',
    'http://[64:ff9b::a9fe:a9fe]:80',
    'http://0.0.0.0:11434',
    'http://[::]:11434',
    'http://224.0.0.1:11434',
    'http://255.255.255.255:11434',
    'http://[fe80::1]:11434',
    'http://[fd00:ec2::254]:80',
    'http://10.0.0.1@evil.example',
    'http://user:hunter2@192.168.1.10:11434',
    'http://a\r\nb',
    'http://192.168.1.10:11434\r\nHost: evil',
    'file:///etc/passwd',
    'gopher://192.168.1.10:6379/_INFO',
    'ftp://192.168.1.10',
    'javascript:alert(1)',
    'http://2130706433',
    'http://3232235786:11434',
    'http://0x7f.0.0.1',
    'http://0x7f000001',
    'http://0177.0.0.1',
    'http://127.1',
    'http://192.168.1.10:11434/v1',
    'http://192.168.1.10:11434?x=1',
    'http://192.168.1.10:11434#x',
    'http://192.168.1.10:0',
    'http://192.168.1.10:65536',
    'http://metadata.google.internal',
    'http://localhost:11434',
    'http://sub.localhost:11434',
    'http://\u2488\u24ea.example',
    '//192.168.1.10:11434',
    '192.168.1.10:11434',
    '',
  ];
  it.each(refusedUrls)('refuses %j', async (url) => {
    const names = { localhost: ['127.0.0.1'], 'sub.localhost': ['127.0.0.1'] };
    const bench = new AgentBench({ names });
    const reply = await bench.intake.handle(bench.join(key, byUrl(url)));
    expect(reply).toMatchObject({ status: 403, result: 'refused_address' });
    expect(bench.registry.joins).toBe(0);
    expect(JSON.stringify([reply.body, bench.log.lines])).not.toContain('hunter2');
  });

  it.each([
    ['the metadata service', ['169.254.169.254']],
    ['loopback', ['127.0.0.1']],
    ['loopback in IPv6', ['::1']],
    ['a good address and a bad one', [SENDER, '169.254.169.254']],
    ['our own listener', ['192.168.1.1']],
    ['nowhere', []],
  ])('refuses a name that leads to %s', async (_what, ips) => {
    const bench = new AgentBench({ names: { 'gpu1.example': ips } });
    const request = bench.join(key, byUrl('http://gpu1.example:11434'));
    expect(await bench.send(request)).toBe('refused_address');
  });

  it('takes a name that leads to the sender, and one that is unknown not', async () => {
    const bench = new AgentBench({ names: { 'gpu1.lan': [SENDER] } });
    expect(await bench.send(bench.join(key, byUrl('http://gpu1.lan:11434')))).toBe('accepted');
    expect(await bench.send(bench.join(key, byUrl('http://gpu2.lan:11434')))).toBe('refused_address');
  });

  it.each([
    ['its own public address', '203.0.113.5', '203.0.113.5', 'accepted'],
    ['another public address', '203.0.113.5', '203.0.113.6', 'refused_address'],
    ['a public address from a private one', '192.168.1.10', '203.0.113.6', 'refused_address'],
    ['a private address from a public one', '203.0.113.5', '10.1.2.3', 'refused_address'],
    ['another private address, as from a container', '172.17.0.2', '192.168.1.10', 'accepted'],
    ['an address of a VPN', '192.168.1.10', '100.64.3.4', 'accepted'],
    ['its own IPv4 address over IPv6', '::ffff:192.168.1.10', '192.168.1.10', 'accepted'],
    ['its own IPv6 address, spelled otherwise', '2001:db8:0:0::5', '[2001:db8::5]', 'accepted'],
    ['no address at all', 'nonsense', '192.168.1.10', 'refused_address'],
  ])('an agent that names %s', async (_what, sender, host, want) => {
    const bench = new AgentBench();
    expect(await bench.send(bench.join(key, byUrl(`http://${host}:11434`), { sender }))).toBe(want);
  });

  it('takes loopback where it is allowed, from this machine only, and never our own listeners', async () => {
    const bench = new AgentBench({ allowLoopback: true });
    const at = (port: number, sender: string) =>
      bench.send(bench.join(key, byUrl(`http://127.0.0.1:${port}`), { sender }));
    expect(await at(11_435, '127.0.0.1')).toBe('accepted');
    expect(await at(11_435, '192.168.1.1')).toBe('accepted');
    expect(await at(11_435, '192.168.1.10')).toBe('refused_address');
    expect(await at(11_434, '127.0.0.1')).toBe('refused_address');
    expect(await at(9_411, '127.0.0.1')).toBe('refused_address');
  });

  it('are checked again when a report names another one', async () => {
    const bench = new AgentBench();
    await bench.joined(key);
    expect(await bench.send(bench.report(key, byUrl('http://169.254.169.254')))).toBe('refused_address');
    expect(bench.observations).toEqual([]);
    expect(bench.registry.get(NAME)?.spec.url.host).toBe(SENDER);
    const moved = bench.report(key, byUrl('http://192.168.1.11:11434'), { sender: '192.168.1.11' });
    expect(await bench.send(moved)).toBe('accepted');
    expect(bench.registry.get(NAME)?.spec.url.host).toBe('192.168.1.11');
  });
});

describe('reporting (S19)', () => {
  it('counts with the key that joined', async () => {
    const bench = new AgentBench();
    await bench.joined(key);
    expect(await bench.send(bench.report(key))).toBe('accepted');
    expect(bench.observations.map(([node, { kind }]) => `${node} ${kind}`)).toEqual(['gpu1 gpu']);
  });

  it('does not register again while nothing has changed', async () => {
    const bench = new AgentBench();
    await bench.joined(key);
    for (let i = 0; i < 5; i++) await bench.send(bench.report(key));
    expect(bench.registry.joins).toBe(1);
  });

  it.each([
    ['signed with another key', (b: AgentBench) => b.report(other), 401, 'bad_signature'],
    [
      'signed with the join token',
      (b: AgentBench) => {
        const { signature } = b.join(key);
        return b.report(key, {}, { signature });
      },
      401,
      'bad_signature',
    ],
    ['of A for B, in the header', (b: AgentBench) => b.report(key, { node: 'gpu2' }), 401, 'bad_signature'],
    [
      'of A for B, in the body',
      (b: AgentBench) => b.report(key, { node: 'gpu2' }, { node: NAME }),
      403,
      'not_your_node',
    ],
    ['of a node that never joined', (b: AgentBench) => b.report(key, { node: 'gpu9' }), 401, 'join_required'],
    [
      'with a changed body',
      (b: AgentBench) => {
        const request = b.report(key);
        const text = Buffer.from(request.body).toString().replace('"parallel":4', '"parallel":64');
        return { ...request, body: Buffer.from(text) };
      },
      401,
      'bad_signature',
    ],
    [
      'with a changed nonce',
      (b: AgentBench) => ({ ...b.report(key), nonce: nonceOf('x') }),
      401,
      'bad_signature',
    ],
    [
      'sent as a join',
      (b: AgentBench) => ({ ...b.report(key), kind: 'join' as const }),
      401,
      'bad_signature',
    ],
    ['without a signature', (b: AgentBench) => ({ ...b.report(key), signature: '' }), 400, 'malformed'],
    [
      'with a name that is none',
      (b: AgentBench) => ({ ...b.report(key), node: '../gpu1' }),
      400,
      'malformed',
    ],
    [
      'with a name of a prototype',
      (b: AgentBench) => b.report(key, { node: '__proto__' }),
      401,
      'join_required',
    ],
    ['with a nonce that is none', (b: AgentBench) => b.report(key, {}, { nonce: 'xyz' }), 400, 'malformed'],
    ['with a time that is none', (b: AgentBench) => b.report(key, {}, { time: 'NaN' }), 400, 'malformed'],
    ['with a time of exponents', (b: AgentBench) => b.report(key, {}, { time: '1e12' }), 400, 'malformed'],
  ])('%s is refused', async (_what, make, status, result) => {
    const bench = new AgentBench();
    await bench.joined(key);
    await bench.joined(other, 'gpu2');
    expect(await bench.intake.handle(make(bench))).toMatchObject({ status, result });
    expect(bench.observations).toEqual([]);
  });

  it('again with the same request is refused, at once and for as long as its time is good', async () => {
    const bench = new AgentBench();
    await bench.joined(key);
    const ahead = String(bench.clock.date().getTime() + AGENT_TIME_WINDOW_MS - 1_000);
    const request = bench.report(key, {}, { time: ahead });
    expect(await bench.send(request)).toBe('accepted');
    expect(await bench.send(request)).toBe('replayed');
    await bench.clock.advance(2 * AGENT_TIME_WINDOW_MS - 2_000);
    expect(await bench.send(request)).toBe('replayed');
    await bench.clock.advance(3_000);
    expect(await bench.send(request)).toBe('stale');
    expect(bench.observations).toHaveLength(1);
  });

  it('again in another case of the nonce is no other request', async () => {
    const bench = new AgentBench();
    await bench.joined(key);
    const nonce = 'abcdefabcdefabcdef';
    await bench.send(bench.report(key, {}, { nonce }));
    expect(await bench.send(bench.report(key, {}, { nonce: nonce.toUpperCase() }))).toBe('replayed');
  });

  it('a replayed join is refused too', async () => {
    const bench = new AgentBench();
    const request = bench.join(key);
    expect(await bench.send(request)).toBe('accepted');
    expect(await bench.send(request)).toBe('replayed');
  });

  it.each([-1, 1])('an hour %d off by the wall clock is refused, with what to do (F85)', async (sign) => {
    const bench = new AgentBench();
    await bench.joined(key);
    const time = String(bench.clock.date().getTime() + sign * 3_600_000);
    const reply = await bench.intake.handle(bench.report(key, {}, { time }));
    expect(reply).toMatchObject({ status: 401, result: 'stale' });
    expect(JSON.stringify(reply.body)).toMatch(/3600 s .*NTP/);
  });

  it('is refused where another replica has seen the nonce, and counts while the store is down', async () => {
    const claimed = new Set<string>();
    let isDown = false;
    const claimOnce = async (value: string) => {
      if (isDown) throw new Error('down');
      return !claimed.has(value) && claimed.add(value).size > 0;
    };
    const store = { isShared: true, claimOnce };
    const [one, two] = [new AgentBench({ store }), new AgentBench({ store })];
    await one.joined(key);
    await two.joined(key);
    const request = one.report(key);
    expect(await one.send(request)).toBe('accepted');
    expect(await two.send(request)).toBe('replayed');
    isDown = true;
    const late = two.report(key);
    expect(await two.send(late)).toBe('accepted');
    expect(await two.send(late)).toBe('replayed');
  });

  it('is capped for each node, with its signature or without', async () => {
    const bench = new AgentBench();
    await bench.joined(key);
    const results: string[] = [];
    for (let i = 0; i < 40; i++) results.push(await bench.send(bench.report(key)));
    expect(results.filter((result) => result === 'accepted')).toHaveLength(20);
    expect(results.at(-1)).toBe('too_many');
    await bench.clock.advance(1_000);
    expect(await bench.send(bench.report(key))).toBe('accepted');
  });

  it('of others cannot use up the budget of a node', async () => {
    const bench = new AgentBench();
    await bench.joined(key);
    for (let i = 0; i < 100; i++) await bench.send(bench.report(other));
    expect(await bench.send(bench.report(key))).toBe('accepted');
  });
});

describe('floods', () => {
  it('an address that keeps failing is not listened to for a while, others are', async () => {
    const bench = new AgentBench();
    await bench.joined(key);
    const evil = '203.0.113.66';
    for (let i = 0; i < 30; i++) {
      expect(bench.intake.admit('report', evil)).toBeUndefined();
      await bench.intake.handle(bench.report(other, {}, { sender: evil }));
    }
    expect(bench.intake.admit('report', evil)).toMatchObject({ status: 429, result: 'too_many' });
    expect(bench.intake.admit('report', SENDER)).toBeUndefined();
    await bench.clock.advance(2_000);
    expect(bench.intake.admit('report', evil)).toBeUndefined();
  });

  it('fake nodes from as many addresses as there are take no memory beyond the caps and log a line (S19)', async () => {
    const bench = new AgentBench();
    const request = bench.report(key);
    for (let i = 0; i < 100_000; i++) {
      const sender = `2001:db8:${(i >> 16).toString(16)}:${(i & 0xffff).toString(16)}::1`;
      bench.intake.admit('report', sender);
      if (i % 100 === 0) await bench.send({ ...request, node: `fake${i}`, sender });
    }
    const { senders, nodes, nonces } = bench.intake.memory;
    expect(senders).toBeLessThanOrEqual(20_000);
    expect(nodes + nonces).toBe(0);
    expect(bench.log.count('warn')).toBe(1);
    expect(bench.observations).toEqual([]);
  });

  it('nonces are bounded: beyond the cap requests are refused rather than taken unchecked', async () => {
    const bench = new AgentBench({ maxNodes: 1 });
    const results = new Set<string>();
    for (let i = 0; i < 20_000 && !results.has('too_many'); i++) {
      results.add(await bench.send(bench.join(key, { node: `n${i}` }, { nonce: nonceOf(`${i}`) })));
    }
    expect(results.has('too_many')).toBe(true);
    expect(bench.intake.memory.nonces).toBe(64 * 256);
  });
});

describe('hostile bodies', () => {
  it('10,000 signed bodies of any shape end in an answer, and only good ones count', async () => {
    const bench = new AgentBench();
    await bench.joined(key);
    const figure = fc.oneof(
      fc.double(),
      fc.integer(),
      fc.constantFrom(-1, 0, 2 ** 60, 1e308, null, '1', [], {}, true),
    );
    const almost = fc.record({
      node: fc.constantFrom(NAME, 'gpu2', '', 7),
      url: fc.constantFrom('http://192.168.1.10:11434', 'http://169.254.169.254', 3),
      gpus: fc.array(
        fc.record(
          {
            index: figure,
            name: fc.oneof(fc.string({ maxLength: 200, unit: 'binary' }), figure),
            vendor: fc.constantFrom('nvidia', 'amd', 'evil', 1),
            vramTotalBytes: figure,
            vramUsedBytes: figure,
            utilization: figure,
          },
          { requiredKeys: ['index', 'name', 'vendor'] },
        ),
        { maxLength: 3 },
      ),
      isUnifiedMemory: fc.boolean(),
      ownerInUse: fc.boolean(),
      maintenance: fc.record({ on: fc.boolean(), note: fc.string({ maxLength: 130, unit: 'binary' }) }),
      intervalMs: fc.oneof(fc.integer({ min: 0, max: 4_000_000 }), figure),
    });
    const body = fc.oneof(
      fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
      fc.json().map((text) => Buffer.from(text)),
      almost.map((value) => Buffer.from(JSON.stringify(value))),
    );
    await fc.assert(
      fc.asyncProperty(body, async (bytes) => {
        bench.clock.jump(200);
        bench.observations.length = 0;
        const reply = await bench.intake.handle(bench.rawReport(key, bytes));
        expect([200, 401, 403, 422]).toContain(reply.status);
        expect(bench.observations).toHaveLength(reply.status === 200 ? 1 : 0);
      }),
      { numRuns: 10_000 },
    );
  });

  it.each([
    ['nested deeply', Buffer.from(`${'['.repeat(30_000)}${']'.repeat(30_000)}`)],
    ['of one long text', Buffer.from(JSON.stringify('x'.repeat(MAX_AGENT_BODY_BYTES - 2)))],
    ['not UTF-8', Buffer.from([0x7b, 0xff, 0xfe, 0x7d])],
    ['empty', Buffer.alloc(0)],
    ['with a prototype in it', Buffer.from('{"__proto__":{"isAdmin":true},"node":"gpu1"}')],
  ])('a body that is %s is refused without an echo', async (_what, bytes) => {
    const bench = new AgentBench();
    await bench.joined(key);
    const request = bench.rawReport(key, bytes);
    const reply = await bench.intake.handle(request);
    expect(reply).toMatchObject({ status: 422, result: 'invalid' });
    expect(JSON.stringify(reply.body).length).toBeLessThan(300);
  });
});

it('logs and answers hold no token, key, nonce or signature', async () => {
  const bench = new AgentBench();
  const requests = [
    bench.join(key),
    bench.join(other),
    bench.join(key, {}, {}, 'a-wrong-token-for-this'),
    bench.report(key),
    bench.report(other),
    bench.report(key, { node: 'gpu2' }, { node: NAME }),
  ];
  const replies = await Promise.all(requests.map((request) => bench.intake.handle(request)));
  const said = JSON.stringify([replies, bench.log.lines]);
  const secrets = [TOKEN, key.publicKey, ...requests.flatMap(({ nonce, signature }) => [nonce, signature])];
  for (const secret of secrets) expect(said).not.toContain(secret);
});
