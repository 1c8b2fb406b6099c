import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { ControlPlaneClient } from '../../../src/agent/control-plane-client.ts';
import { Reporter } from '../../../src/agent/reporter.ts';
import { type AgentReport, generateAgentKey } from '../../../src/app/agents/agent-protocol.ts';
import { writeCertificate } from '../../support/certificate.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { freePort } from '../../support/free-port.ts';
import { MemoryLog } from '../../support/memory-log.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { TestControlPlane } from './control-plane.ts';

const TOKEN = 'the-join-token-of-this-test';
const NEVER = new AbortController().signal;
const INTERVAL_MS = 2_000;

const cleanUps: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0)) await cleanUp();
});

async function aControlPlane(): Promise<TestControlPlane & { readonly url: URL }> {
  const plane = new TestControlPlane(TOKEN);
  const url = await plane.listen();
  cleanUps.push(() => plane.close());
  return Object.assign(plane, { url });
}

function anAgent(
  to: readonly URL[],
  {
    token = TOKEN as string | null,
    key = generateAgentKey(),
    random = 0.5,
    ca = undefined as string | undefined,
    broken = { reason: '' },
  } = {},
) {
  const log = new MemoryLog();
  const clock = new FakeClock({ date: new Date() });
  const client = new ControlPlaneClient(key, clock, ca);
  cleanUps.push(() => client.close());
  const build = async (): Promise<AgentReport> => {
    if (broken.reason !== '') throw new Error(broken.reason);
    return aReport();
  };
  const settings = {
    to,
    node: 'gpu1',
    joinToken: token ?? undefined,
    intervalMs: INTERVAL_MS,
    labels: { zone: 'a' },
  };
  const reporter = new Reporter({
    settings,
    client,
    version: '0.1.0',
    build,
    clock,
    random: () => random,
    log,
  });
  return { reporter, log, clock, key };
}

function aReport(): AgentReport {
  return {
    node: 'gpu1',
    url: 'http://10.0.0.11:11434',
    gpus: [{ index: 0, name: 'card', vendor: 'nvidia', vramTotalBytes: 24 * 1024 ** 3 }],
    isUnifiedMemory: false,
    ownerInUse: false,
    intervalMs: INTERVAL_MS,
  };
}

describe('an agent that reports', () => {
  it('joins once, then signs each report with its own key, and never sends the token', async () => {
    const plane = await aControlPlane();
    const { reporter, key, log } = anAgent([plane.url]);
    expect(await reporter.round(NEVER)).toBe(INTERVAL_MS);
    await reporter.round(NEVER);
    expect(plane.joins).toEqual([
      {
        node: 'gpu1',
        url: 'http://10.0.0.11:11434',
        publicKey: key.publicKey,
        version: '0.1.0',
        labels: { zone: 'a' },
      },
    ]);
    expect(plane.reports).toHaveLength(2);
    expect(plane.reports[0]?.gpus[0]?.vramTotalBytes).toBe(24 * 1024 ** 3);
    expect(plane.heard.join('\n')).not.toContain(TOKEN);
    expect(log.lines.map(({ message }) => message)).toEqual([`reporting as "gpu1" to ${plane.url.origin}`]);
  });

  it('needs no token once its key is known', async () => {
    const plane = await aControlPlane();
    const first = anAgent([plane.url]);
    await first.reporter.round(NEVER);
    const second = anAgent([plane.url], { token: null, key: first.key });
    expect(await second.reporter.round(NEVER)).toBe(INTERVAL_MS);
    expect(plane.joins).toHaveLength(1);
    expect(plane.reports).toHaveLength(2);
  });

  it('joins again at a control plane that has forgotten it', async () => {
    const plane = await aControlPlane();
    const { reporter, log } = anAgent([plane.url]);
    await reporter.round(NEVER);
    plane.forget();
    await reporter.round(NEVER);
    await reporter.round(NEVER);
    expect(plane.joins).toHaveLength(2);
    expect(plane.reports).toHaveLength(2);
    expect(log.messages('warn')).toEqual([`${plane.url.origin} does not know node "gpu1"; joining`]);
    expect(log.count('info')).toBe(2);
  });

  it('turns to the next replica within the same round, and stays there', async () => {
    const dead = new URL(`http://127.0.0.1:${await freePort()}`);
    const plane = await aControlPlane();
    const { reporter, log } = anAgent([dead, plane.url]);
    expect(await reporter.round(NEVER)).toBe(INTERVAL_MS);
    await reporter.round(NEVER);
    expect(plane.reports).toHaveLength(2);
    expect(log.messages('warn')).toEqual([
      `${dead.origin} takes no reports: nobody listens there; trying again`,
    ]);
  });

  it('waits ever longer, up to a minute, while nobody answers, and says so once', async () => {
    const dead = new URL(`http://127.0.0.1:${await freePort()}`);
    const { reporter, log } = anAgent([dead], { random: 1 });
    const waits: number[] = [];
    for (let round = 0; round < 8; round++) waits.push(await reporter.round(NEVER));
    expect(waits).toEqual([2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]);
    expect(log.lines).toHaveLength(1);
    const early = anAgent([dead], { random: 0 });
    expect(await early.reporter.round(NEVER)).toBe(1_000);
  });

  it('tells of the return, and reports at its usual pace again', async () => {
    const port = await freePort();
    const { reporter, log } = anAgent([new URL(`http://127.0.0.1:${port}`)]);
    await reporter.round(NEVER);
    await reporter.round(NEVER);
    const plane = new TestControlPlane(TOKEN);
    await plane.listen(port);
    cleanUps.push(() => plane.close());
    expect(await reporter.round(NEVER)).toBe(INTERVAL_MS);
    expect(log.lines.map(({ level }) => level)).toEqual(['warn', 'info']);
  });

  it('goes on when it cannot see its own machine for a while', async () => {
    const plane = await aControlPlane();
    const broken = { reason: 'the way to gateway is not known here' };
    const { reporter, log } = anAgent([plane.url], { broken });
    await reporter.round(NEVER);
    await reporter.round(NEVER);
    expect(log.messages('warn')).toEqual(['no report can be made: the way to gateway is not known here']);
    broken.reason = '';
    expect(await reporter.round(NEVER)).toBe(INTERVAL_MS);
    expect(plane.reports).toHaveLength(1);
  });

  it('keeps its interval, however long a report takes', async () => {
    const clock = new FakeClock();
    const times: number[] = [];
    const taken = { status: 200, message: undefined, code: undefined, state: 'member' };
    const report = async () => {
      times.push(clock.now());
      clock.jump(INTERVAL_MS * 0.75);
      return { ...taken, retryAfterMs: undefined, clockAheadMs: 0 };
    };
    const reporter = new Reporter({
      settings: {
        to: [new URL('http://gateway:9412')],
        node: 'gpu1',
        joinToken: undefined,
        intervalMs: INTERVAL_MS,
        labels: {},
      },
      client: { join: report, report },
      version: '0.1.0',
      build: async () => aReport(),
      clock,
      random: () => 0.5,
      log: new MemoryLog(),
    });
    const stop = new AbortController();
    const run = reporter.run(stop.signal);
    await clock.advance(4 * INTERVAL_MS);
    stop.abort();
    await run;
    expect(times.slice(0, 4)).toEqual([0, 1, 2, 3].map((count) => count * INTERVAL_MS));
  });

  it('says nothing of being stopped in the middle', async () => {
    const plane = await aControlPlane();
    const stop = new AbortController();
    plane.answer = () => {
      stop.abort();
      return undefined;
    };
    const { reporter, log } = anAgent([plane.url]);
    await reporter.run(stop.signal);
    expect(log.lines).toEqual([]);
  });
});

describe('a refusal', () => {
  it('of a wrong token names the setting', async () => {
    const plane = await aControlPlane();
    const { reporter, log } = anAgent([plane.url], { token: 'another-token-altogether' });
    await reporter.round(NEVER);
    expect(log.messages('warn')).toEqual([
      expect.stringContaining('refuses the join token: give the one of its agents.joinToken'),
    ]);
  });

  it('of a name that another key owns says how to free it', async () => {
    const plane = await aControlPlane();
    await anAgent([plane.url]).reporter.round(NEVER);
    const { reporter, log } = anAgent([plane.url]);
    await reporter.round(NEVER);
    expect(log.messages('warn')).toEqual([expect.stringContaining('warmpath nodes remove gpu1')]);
    const withoutToken = anAgent([plane.url], { token: null });
    await withoutToken.reporter.round(NEVER);
    expect(withoutToken.log.messages('warn')).toEqual([expect.stringContaining('by another key')]);
    expect(plane.reports).toHaveLength(1);
  });

  it('for want of a token asks for one', async () => {
    const plane = await aControlPlane();
    const { reporter, log } = anAgent([plane.url], { token: null });
    await reporter.round(NEVER);
    expect(log.messages('warn')).toEqual([expect.stringContaining('--join-token-file')]);
  });

  it('is waited out as long as it asks for, but no longer than a minute', async () => {
    const plane = await aControlPlane();
    let seconds = '7';
    plane.answer = () => ({
      status: 429,
      body: { error: 'slow down', code: 'too_many' },
      headers: { 'retry-after': seconds },
    });
    const { reporter } = anAgent([plane.url]);
    expect(await reporter.round(NEVER)).toBe(7_000);
    seconds = '86400';
    expect(await reporter.round(NEVER)).toBe(60_000);
  });

  it.each([
    [403, { error: 'it is gone', code: 'removed' }, 'warmpath nodes approve gpu1'],
    [403, { error: 'loopback is not allowed', code: 'refused_address' }, '(--url): loopback is not allowed'],
    [403, { error: 'no room', code: 'full' }, 'agents.maxNodes'],
    [403, 'proxy says no', 'refuses node "gpu1"'],
    [404, '<html>', 'name the address of its agents.listen'],
    [413, { error: 'big', code: 'too_large' }, 'of the same version'],
    [422, { error: 'odd', code: 'invalid' }, 'of the same version'],
    [503, { error: 'no store', code: 'unavailable' }, 'cannot take reports now (status 503): no store'],
    [302, '', 'answers as no control plane does (status 302)'],
  ])('with status %i and %j gives the remedy', async (status, body, words) => {
    const plane = await aControlPlane();
    plane.answer = () => ({ status, body, headers: { location: 'http://169.254.169.254/' } });
    const { reporter, log } = anAgent([plane.url]);
    await reporter.round(NEVER);
    await reporter.round(NEVER);
    expect(log.messages('warn')).toEqual([expect.stringContaining(words)]);
    // Not followed, not asked again within a round.
    expect(plane.heard).toHaveLength(2);
  });

  it('of an answer without end, or of nonsense, is bounded', async () => {
    const plane = await aControlPlane();
    plane.answer = () => ({ status: 500, body: 'x'.repeat(1024 * 1024) });
    const { reporter, log } = anAgent([plane.url]);
    await reporter.round(NEVER);
    expect(log.messages('warn')).toEqual([expect.stringContaining('cannot take reports now (status 500)')]);
  });
});

describe('a difference of clocks', () => {
  it('is named with its remedy where it makes the control plane refuse', async () => {
    const plane = await aControlPlane();
    const date = new Date(Date.now() + 180_000).toUTCString();
    plane.answer = () => ({ status: 401, body: { error: 'stale', code: 'stale' }, headers: { date } });
    const { reporter, log } = anAgent([plane.url]);
    await reporter.round(NEVER);
    expect(log.messages('warn')).toEqual([
      expect.stringMatching(/^this machine's clock is 3 min behind the control plane's: set it \(NTP\)/),
    ]);
  });

  it('is told of before it hurts, once, and again when it returns', async () => {
    const plane = await aControlPlane();
    let off = -40_000;
    plane.answer = () => ({
      status: 200,
      body: { node: 'gpu1', state: 'member' },
      headers: { date: new Date(Date.now() + off).toUTCString() },
    });
    const { reporter, log } = anAgent([plane.url]);
    await reporter.round(NEVER);
    await reporter.round(NEVER);
    expect(log.messages('warn')).toEqual([
      expect.stringMatching(/clock is (39|40|41) s ahead of the control plane's/),
    ]);
    off = 0;
    await reporter.round(NEVER);
    off = -40_000;
    await reporter.round(NEVER);
    expect(log.count('warn')).toBe(2);
  });
});

describe('a node that is no member yet', () => {
  it('is told of with what an operator has to do', async () => {
    const plane = await aControlPlane();
    plane.answer = () => ({
      status: 200,
      body: { node: 'gpu1', state: 'candidate', problem: 'nobody approved it yet' },
    });
    const { reporter, log } = anAgent([plane.url]);
    await reporter.round(NEVER);
    expect(log.messages('info')).toEqual([
      expect.stringContaining('no member yet (candidate): nobody approved it yet'),
    ]);
  });
});

describe('over TLS', () => {
  it('an own CA is trusted where it is given, and asked for where it is not', async () => {
    const { cert, key } = certificate();
    const plane = new TestControlPlane(TOKEN, { cert, key });
    const url = await plane.listen();
    cleanUps.push(() => plane.close());
    const trusting = anAgent([url], { ca: cert });
    expect(await trusting.reporter.round(NEVER)).toBe(INTERVAL_MS);
    expect(plane.reports).toHaveLength(1);
    const careful = anAgent([url]);
    await careful.reporter.round(NEVER);
    expect(careful.log.messages('warn')).toEqual([
      expect.stringContaining('is not trusted: give its CA with --ca'),
    ]);
  });

  it('a control plane without TLS is named as such', async () => {
    const plane = await aControlPlane();
    const { reporter, log } = anAgent([new URL(plane.url.href.replace('http:', 'https:'))]);
    await reporter.round(NEVER);
    expect(log.messages('warn')).toEqual([expect.stringContaining('write http:// instead of https://')]);
  });
});

function certificate(): { cert: string; key: string } {
  const dir = tempDir();
  cleanUps.push(async () => dir.remove());
  const [key, cert] = [join(dir.path, 'key.pem'), join(dir.path, 'cert.pem')];
  writeCertificate({ key, cert }, { name: 'gateway', altName: 'IP:127.0.0.1' });
  return { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') };
}
