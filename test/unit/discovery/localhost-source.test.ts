import type { RequestListener } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import type { Candidate } from '../../../src/app/registry/registry-types.ts';
import { SystemClock } from '../../../src/app/system-clock.ts';
import { createSource } from '../../../src/control-plane/discovery-sources.ts';
import { LocalhostSource } from '../../../src/discovery/localhost-source.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { MemoryLog } from '../../support/memory-log.ts';
import { waitFor } from '../../support/wait-for.ts';
import { type ScriptedNode, scriptedNode } from '../nodes/scripted-node.ts';

const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

function ports(said: readonly (readonly Candidate[])[]): number[] {
  return (said.at(-1) ?? []).map(({ url }) => url.port);
}

/** A server on one of the ports that follow 41,000, near each other: a range of them is looked through. */
async function near(taken: Set<number>, handler: RequestListener): Promise<ScriptedNode> {
  for (let port = 41_000; port < 41_200; port++) {
    if (taken.has(port)) continue;
    taken.add(port);
    const node = await scriptedNode(handler, { port }).catch(() => undefined);
    if (node !== undefined) return node;
  }
  throw new Error('no free port from 41000 to 41200');
}

describe('a range of ports of this machine', () => {
  it('is looked through for Ollamas: several at once, nothing else that listens, never ourselves', async () => {
    const tags: RequestListener = (_, response) =>
      void response.setHeader('content-type', 'application/json').end('{"models":[]}');
    const taken = new Set<number>();
    const [first, second, own] = [await near(taken, tags), await near(taken, tags), await near(taken, tags)];
    const website = await near(taken, (_, response) => void response.end('<html>'));
    const silent = await near(taken, () => {});
    for (const { close } of [first, second, own, website, silent]) open.push(close);

    const all = [first.port, second.port, own.port, website.port, silent.port];
    const [from, to] = [Math.min(...all), Math.max(...all)];
    const said: (readonly Candidate[])[] = [];
    const stop = new AbortController();
    const source = createSource(
      { kind: 'localhost', ports: `${from}-${to}`, interval: 60_000 },
      {
        clock: new SystemClock(),
        random: () => 0,
        log: new MemoryLog(),
        env: {},
        listeners: () => [{ host: '127.0.0.1', port: own.port }],
        localIps: () => [],
      },
    );
    const done = source.run((found) => void said.push(found), stop.signal);
    open.push(async () => {
      stop.abort();
      await done;
    });
    await waitFor('a look', () => said.length > 0, { timeoutMs: 25_000 });
    expect(ports(said)).toEqual(expect.arrayContaining([first.port, second.port]));
    expect(ports(said)).not.toEqual(expect.arrayContaining([own.port]));
    expect(ports(said)).not.toEqual(expect.arrayContaining([website.port]));
    expect(ports(said)).not.toEqual(expect.arrayContaining([silent.port]));
    expect(own.requests).toEqual([]);
    expect(first.requests.map(({ url }) => url)).toEqual(['/api/tags']);
  });

  it('forgives an Ollama two looks without an answer, and asks at most sixteen ports at a time', async () => {
    const clock = new FakeClock();
    const up = new Set([24_001, 24_050]);
    let [asking, most] = [0, 0];
    const said: (readonly Candidate[])[] = [];
    const stop = new AbortController();
    const source = new LocalhostSource({
      clock,
      random: () => 0,
      log: new MemoryLog(),
      from: 24_000,
      to: 24_100,
      intervalMs: 30_000,
      hostname: 'box',
      ownPorts: () => new Set(),
      isOllama: async ({ port }) => {
        most = Math.max(most, ++asking);
        await new Promise((resolve) => setImmediate(resolve));
        asking -= 1;
        return up.has(port);
      },
    });
    const done = source.run((found) => void said.push(found), stop.signal);
    open.push(async () => {
      stop.abort();
      await done;
    });
    const look = async (): Promise<number[]> => {
      const count = said.length;
      await clock.advance(30_000);
      await waitFor('a look', () => said.length > count);
      return ports(said);
    };
    await waitFor('a look', () => said.length > 0);
    expect(ports(said)).toEqual([24_001, 24_050]);
    expect(said[0]?.[0]).toMatchObject({ name: 'box-24001', identity: 'localhost:box:24001' });
    up.delete(24_050);
    expect(await look()).toEqual([24_001, 24_050]);
    expect(await look()).toEqual([24_001, 24_050]);
    expect(await look()).toEqual([24_001]);
    expect(most).toBe(16);
  });
});
