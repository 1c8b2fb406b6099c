import type { Answer } from 'dns-packet';
import { afterEach, describe, expect, it } from 'vitest';
import { formatOrigin } from '../../../src/app/host-port.ts';
import type { Candidate } from '../../../src/app/registry/registry-types.ts';
import { DnsSource, type DnsSourceOptions } from '../../../src/discovery/dns-source.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { MemoryLog } from '../../support/memory-log.ts';
import { waitFor } from '../../support/wait-for.ts';
import { type DnsStub, dnsStub, type Script } from './dns-stub.ts';

const NAME = 'ollama.example';
const INTERVAL_MS = 30_000;
const open: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

const a = (data: string, ttl = 60): Answer => ({ type: 'A', name: NAME, ttl, data });
const srv = (target: string, port: number): Answer => ({
  type: 'SRV',
  name: NAME,
  ttl: 60,
  data: { target, port, priority: 1, weight: 1 },
});

/** A source that asks a stub; `again` makes it ask once more and waits for the question. */
async function follow(script: Script, fields: Partial<DnsSourceOptions> = {}) {
  const stub: DnsStub = await dnsStub(script);
  const clock = new FakeClock();
  const log = new MemoryLog();
  const said: string[][] = [];
  const stop = new AbortController();
  const source = new DnsSource({
    clock,
    random: () => 0,
    log,
    name: NAME,
    type: 'A',
    port: 11_434,
    intervalMs: INTERVAL_MS,
    servers: [stub.address],
    ...fields,
  });
  const report = (found: readonly Candidate[]): void =>
    void said.push(found.map(({ url }) => formatOrigin(url)));
  const done = source.run(report, stop.signal);
  open.push(async () => {
    stop.abort();
    await done;
    await stub.close();
  });
  // A look is over when the source waits for the next one.
  const looked = () => waitFor('a look', () => clock.pending > 0);
  await looked();
  return {
    stub,
    log,
    said,
    again: async (next: Script) => {
      stub.script = next;
      await clock.advance(INTERVAL_MS);
      await looked();
    },
  };
}

describe('nodes behind a name (F88)', () => {
  it('are its A records, with the configured port', async () => {
    const { said, stub } = await follow([a('10.0.0.1'), a('10.0.0.2')], { port: 24_000 });
    expect(said).toEqual([['http://10.0.0.1:24000', 'http://10.0.0.2:24000']]);
    expect(stub.asked).toEqual([`A ${NAME}`]);
  });

  it('are its AAAA records', async () => {
    const answer: Answer = { type: 'AAAA', name: NAME, ttl: 60, data: 'fd00::1' };
    const { said } = await follow([answer], { type: 'AAAA' });
    expect(said).toEqual([['http://[fd00::1]:11434']]);
  });

  it('are the targets of its SRV records, each with its own port', async () => {
    const { said } = await follow([srv('GPU1.lan', 11_434), srv('gpu2.lan.', 24_001)], { type: 'SRV' });
    expect(said[0]?.sort()).toEqual(['http://gpu1.lan:11434', 'http://gpu2.lan:24001']);
  });

  it('are a hundred where a hundred records say so, each once', async () => {
    const records = Array.from({ length: 100 }, (_, n) => a(`10.0.1.${n + 1}`));
    const { said } = await follow([...records.slice(0, 20), a('10.0.1.1')]);
    expect(said[0]).toHaveLength(20);
    const all = await follow(records);
    expect(all.said[0]).toHaveLength(100);
  });

  it('change with the name, at the next look and no sooner, a TTL of 0 or not', async () => {
    const { said, again, stub } = await follow([a('10.0.0.1', 0)]);
    await again([a('10.0.0.2', 0)]);
    expect(said).toEqual([['http://10.0.0.1:11434'], ['http://10.0.0.2:11434']]);
    expect(stub.asked).toHaveLength(2);
  });
});

describe('a name service that fails (F88)', () => {
  it.each([
    { name: 'NXDOMAIN', script: { rcode: 3 }, says: /does not exist/ },
    { name: 'SERVFAIL', script: { rcode: 2 }, says: /name server failed/ },
    { name: 'REFUSED', script: { rcode: 5 }, says: /refused to answer/ },
    { name: 'an answer without records', script: [], says: /no such record/ },
    { name: 'loopback', script: [a('127.0.0.1')], says: /names 127.0.0.1, which is a loopback address/ },
    { name: 'cloud metadata', script: [a('10.0.0.1'), a('169.254.169.254')], says: /cloud metadata/ },
    { name: 'no machine', script: [a('0.0.0.0')], says: /names no machine/ },
  ])('leaves the nodes as they were after $name, and says why once', async ({ script, says }) => {
    const { said, log, again } = await follow([a('10.0.0.1')]);
    await again(script);
    await again(script);
    expect(said).toEqual([['http://10.0.0.1:11434']]);
    expect(log.messages('warn')).toEqual([expect.stringMatching(says)]);
    await again([a('10.0.0.1')]);
    expect(said).toHaveLength(2);
    expect(log.messages('info')).toEqual([expect.stringMatching(/works again/)]);
  });

  it('that answers nothing is given up, and asked again', async () => {
    const { said, log, again } = await follow('silent');
    expect(said).toEqual([]);
    expect(log.messages('warn')).toEqual([expect.stringMatching(/does not answer in time/)]);
    await again([a('10.0.0.1')]);
    expect(said).toEqual([['http://10.0.0.1:11434']]);
  });
});
