import { createSocket } from 'node:dgram';
import type { Answer } from 'dns-packet';
import { encode } from 'dns-packet';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { formatOrigin } from '../../../src/app/host-port.ts';
import type { Candidate } from '../../../src/app/registry/registry-types.ts';
import { SystemClock } from '../../../src/app/system-clock.ts';
import { announceWarmpath } from '../../../src/discovery/announce-warmpath.ts';
import { findWarmpath } from '../../../src/discovery/find-warmpath.ts';
import { closeMdns, type MdnsAddress, openMdns, SERVICE } from '../../../src/discovery/mdns-socket.ts';
import { MdnsSource } from '../../../src/discovery/mdns-source.ts';
import { MdnsTable } from '../../../src/discovery/mdns-table.ts';
import { freePort } from '../../support/free-port.ts';
import { MemoryLog } from '../../support/memory-log.ts';
import { waitFor } from '../../support/wait-for.ts';

const open: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

/** A multicast group of our own: real packets, on loopback only. */
async function wire(): Promise<MdnsAddress> {
  return { port: await freePort(), interface: '127.0.0.1' };
}

function records(
  label: string,
  ip: string,
  { port = 11_434, ttl = 120, service = SERVICE.ollama as string } = {},
): Answer[] {
  const instance = `${label}.${service}`;
  const target = `${label}.local`;
  return [
    { type: 'PTR', name: service, ttl, data: instance },
    { type: 'SRV', name: instance, ttl, data: { target, port, priority: 0, weight: 0 } },
    ip.includes(':')
      ? { type: 'AAAA', name: target, ttl, data: ip }
      : { type: 'A', name: target, ttl, data: ip },
  ];
}

/** Somebody on the network who answers questions, and may speak unasked. */
async function announcer(address: MdnsAddress, answers: () => Answer[]) {
  const mdns = await openMdns(address);
  mdns.on('query', () => mdns.respond(answers()));
  open.push(() => closeMdns(mdns));
  return mdns;
}

function browse(address: MdnsAddress) {
  const said: (readonly Candidate[])[] = [];
  const log = new MemoryLog();
  const stop = new AbortController();
  const source = new MdnsSource({ clock: new SystemClock(), random: () => 0, log, intervalMs: 500, address });
  const done = source.run((found) => void said.push(found), stop.signal);
  open.push(async () => {
    stop.abort();
    await done;
  });
  const view = (): string[] =>
    (said.at(-1) ?? []).map(({ name, url }) => `${name} ${formatOrigin(url)}`).sort();
  const sees = (...want: string[]) =>
    waitFor(
      `${want.join()}; seen: ${view().join()}`,
      () => said.length > 0 && JSON.stringify(view()) === JSON.stringify(want),
    );
  return { said, log, view, sees };
}

describe('nodes that announce themselves', () => {
  it('are candidates known by their address alone, and gone with their goodbye', async () => {
    const address = await wire();
    let ttl = 120;
    await announcer(address, () => records('box', '192.168.1.20', { ttl }));
    await announcer(address, () => records('lab', '192.168.1.21', { port: 24_000, service: SERVICE.node }));
    const { sees, said } = browse(address);
    await sees('box http://192.168.1.20:11434', 'lab http://192.168.1.21:24000');
    expect(said.at(-1)?.[0]).toMatchObject({ source: 'mdns', identity: undefined });
    ttl = 0;
    await sees('lab http://192.168.1.21:24000');
  });

  it.each([
    { name: 'loopback', ip: '127.0.0.1' },
    { name: 'cloud metadata', ip: '169.254.169.254' },
    { name: 'a link-local address', ip: 'fe80::1' },
    { name: 'no machine', ip: '0.0.0.0' },
  ])('are not named where they announce $name (S18)', async ({ ip }) => {
    const address = await wire();
    await announcer(address, () => [...records('evil', ip), ...records('good', '192.168.1.9')]);
    await browse(address).sees('good http://192.168.1.9:11434');
  });

  it('are found among hostile packets of every kind (S19)', async () => {
    const address = await wire();
    await announcer(address, () => records('good', '192.168.1.9'));
    const { sees, log } = browse(address);
    const socket = createSocket('udp4');
    socket.bind(0, '127.0.0.1');
    const hostile: Buffer[] = [
      Buffer.alloc(0),
      Buffer.from('GET / HTTP/1.1\r\n\r\n'),
      Buffer.alloc(9_000, 0xff),
      // A name that points at itself.
      Buffer.from([
        0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0xc0, 12, 0, 12, 0, 1, 0, 0, 0, 60, 0, 2, 0xc0, 12,
      ]),
      encode({ type: 'response', answers: records('x'.repeat(60), '10.0.0.1', { port: 0 }) }),
    ];
    await fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        hostile.push(Buffer.from(bytes));
      }),
      { numRuns: 300 },
    );
    for (const packet of hostile) socket.send(packet, address.port ?? 0, '127.0.0.1');
    await sees('good http://192.168.1.9:11434');
    expect(log.lines).toEqual([]);
    socket.close();
  });
});

describe('what packets are remembered', () => {
  const table = () => new MdnsTable([SERVICE.ollama], { allowLoopback: false });

  it('is bounded: a million fake nodes leave a thousand (S19)', () => {
    const fakes = table();
    for (let i = 0; i < 5_000; i++) fakes.learn(records(`fake-${i}`, `10.${i >> 8}.${i & 255}.1`), 0);
    expect(fakes.announced(0)).toHaveLength(1_000);
  });

  it('is forgotten when its time is up, whatever time the packet claims', () => {
    const short = table();
    short.learn(records('a', '10.0.0.1', { ttl: 60 }), 0);
    short.learn(records('b', '10.0.0.2', { ttl: 0xffff_ffff }), 0);
    expect(short.announced(59_000)).toHaveLength(2);
    expect(short.announced(61_000).map(({ label }) => label)).toEqual(['b']);
    expect(short.announced(4_501_000)).toEqual([]);
  });

  it('never throws, and names nothing that may not be reached, whatever records say', () => {
    const value = fc.oneof(
      fc.string(),
      fc.integer(),
      fc.constantFrom(
        SERVICE.ollama,
        `x.${SERVICE.ollama}`,
        'x.local',
        '127.0.0.1',
        '169.254.169.254',
        '10.0.0.1',
      ),
      fc.constant(null),
      fc.record({ target: fc.constantFrom('x.local', '', null), port: fc.oneof(fc.integer(), fc.double()) }),
      fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 3 }),
    );
    const record = fc.record({
      type: fc.constantFrom('PTR', 'SRV', 'TXT', 'A', 'AAAA', 'ANY', 7),
      name: value,
      ttl: fc.oneof(fc.integer(), fc.double(), fc.constant(undefined), fc.constant('1')),
      data: value,
    });
    fc.assert(
      fc.property(fc.array(record, { maxLength: 20 }), (packet) => {
        const any = table();
        any.learn(packet, 0);
        for (const { port, ips } of any.announced(0)) {
          expect(port).toBeGreaterThan(0);
          expect(ips).toEqual(['10.0.0.1']);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('an agent that looks for us', () => {
  const clock = new SystemClock();

  it('finds the port that agents report to, and nothing once we have said goodbye', async () => {
    const address = await wire();
    const stop = new AbortController();
    const options = { hostname: 'gateway.example', port: 9_412, scheme: 'https' as const, clock, address };
    const done = announceWarmpath({ ...options, ips: ['192.168.1.2', 'fd00::2'] }, stop.signal);
    open.push(async () => {
      stop.abort();
      await done;
    });
    const find = (timeoutMs: number) =>
      findWarmpath({ timeoutMs, clock, address }, new AbortController().signal);
    expect([...(await find(5_000))].sort()).toEqual(['https://192.168.1.2:9412', 'https://[fd00::2]:9412']);
    stop.abort();
    await done;
    expect(await find(300)).toEqual([]);
  });

  it('gives up in time where nobody answers, or is told to', async () => {
    const address = await wire();
    expect(await findWarmpath({ timeoutMs: 200, clock, address }, new AbortController().signal)).toEqual([]);
    expect(await findWarmpath({ timeoutMs: 60_000, clock, address }, AbortSignal.abort())).toEqual([]);
  });
});
