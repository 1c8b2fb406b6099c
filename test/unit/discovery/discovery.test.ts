import { writeFileSync } from 'node:fs';
import type { RequestListener } from 'node:http';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { SystemClock } from '../../../src/app/system-clock.ts';
import { loadConfig } from '../../../src/config/load.ts';
import { createDiscovery, type Discovery, ownListeners } from '../../../src/control-plane/discovery.ts';
import { closeMdns, openMdns, SERVICE } from '../../../src/discovery/mdns-socket.ts';
import { MemoryStore } from '../../../src/store/memory.ts';
import { freePort } from '../../support/free-port.ts';
import { MemoryLog } from '../../support/memory-log.ts';
import { type TempDir, tempDir } from '../../support/temp-dir.ts';
import { waitFor } from '../../support/wait-for.ts';
import { type ScriptedNode, scriptedNode } from '../nodes/scripted-node.ts';
import { agent } from './registry-bench.ts';

let dir: TempDir;
const open: (() => Promise<void>)[] = [];
beforeEach(() => {
  dir = tempDir();
});
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
  dir.remove();
});

const ollama: RequestListener = (request, response) => {
  const body = { '/api/version': '{"version":"0.24.0"}', '/api/tags': '{"models":[]}' }[request.url ?? ''];
  if (body === undefined) response.writeHead(404).end();
  else response.setHeader('content-type', 'application/json').end(body);
};

async function node(): Promise<ScriptedNode> {
  const made = await scriptedNode(ollama);
  open.push(() => made.close());
  return made;
}

async function configOf(settings: object) {
  const file = join(dir.path, 'warmpath.yaml');
  writeFileSync(file, stringify({ stateDir: dir.path, ...settings }));
  return (await loadConfig({ file, env: {} })).config;
}

async function start(
  settings: object,
  fields: object = {},
): Promise<{ discovery: Discovery; log: MemoryLog }> {
  const clock = new SystemClock();
  const log = new MemoryLog();
  const discovery = createDiscovery({
    config: await configOf(settings),
    store: new MemoryStore(clock),
    replica: 'r1',
    clock,
    random: () => 0,
    log,
    env: {},
    hasRequests: () => false,
    nodeAt: () => undefined,
    ...fields,
  });
  const stop = new AbortController();
  await discovery.load();
  const done = discovery.run(stop.signal);
  open.push(async () => {
    stop.abort();
    await done;
  });
  return { discovery, log };
}

const ids = ({ registry }: Discovery): string[] => registry.members().map(({ id }) => id);
const sees = (discovery: Discovery, ...want: string[]) =>
  waitFor(
    `${want.join()}; seen: ${ids(discovery).join()}`,
    () => JSON.stringify(ids(discovery)) === JSON.stringify(want),
  );

describe('discovery as a whole', () => {
  it('follows its configuration while it runs: nodes and sources come and go (F87)', async () => {
    const [a, b] = [await node(), await node()];
    const file = (name: string, port: number): { kind: string; path: string } => {
      const path = join(dir.path, `${name}.yaml`);
      writeFileSync(path, `- {name: ${name}, url: "http://127.0.0.1:${port}"}\n`);
      return { kind: 'file', path };
    };
    const [one, two] = [file('one', a.port), file('two', b.port)];
    const fixed = (name: string) => ({ name, url: 'http://10.9.9.9' });
    const { discovery } = await start({ nodes: [fixed('fixed')], discovery: { sources: [one] } });
    await sees(discovery, 'fixed', 'one');
    discovery.reload(await configOf({ nodes: [fixed('fixed')], discovery: { sources: [one, two] } }));
    await sees(discovery, 'fixed', 'one', 'two');
    discovery.reload(await configOf({ nodes: [fixed('renamed')], discovery: { sources: [two] } }));
    await sees(discovery, 'renamed', 'two');
    for (let i = 0; i < 50; i++)
      discovery.reload(
        await configOf({ nodes: [fixed('renamed')], discovery: { sources: i % 2 ? [two] : [one, two] } }),
      );
    await sees(discovery, 'renamed', 'two');
  });

  it('lets an agent in that speaks for a real Ollama, and no agent that speaks for us (H15, S18)', async () => {
    const { port } = await node();
    const own = await freePort();
    const settings = { listen: `127.0.0.1:${own}`, agents: { allowLoopback: true } };
    const { discovery } = await start(settings);
    discovery.registry.join(agent('good', `127.0.0.1:${port}`));
    discovery.registry.join(agent('loop', `127.0.0.1:${own}`));
    await sees(discovery, 'good');
    await waitFor('why', () => discovery.registry.get('loop')?.problem?.includes('Warmpath itself'));
  });

  it('refuses an agent on loopback unless that is allowed', async () => {
    const { port } = await node();
    const { discovery } = await start({});
    discovery.registry.join(agent('box', `127.0.0.1:${port}`));
    await waitFor('why', () => discovery.registry.get('box')?.problem?.includes('loopback'));
    expect(ids(discovery)).toEqual([]);
  });

  it('announces itself by mDNS where agents may report and mDNS is used, and only then', async () => {
    const mdns = { port: await freePort(), interface: '127.0.0.1' };
    const listener = await openMdns(mdns);
    open.push(() => closeMdns(listener));
    const heard: number[] = [];
    listener.on('response', ({ answers = [] }) => {
      for (const { name, type, ...rest } of answers)
        if (type === 'SRV' && name.endsWith(SERVICE.warmpath) && 'ttl' in rest) heard.push(rest.ttl ?? -1);
    });
    const port = await freePort();
    const agents = { listen: `127.0.0.1:${port}`, joinToken: 'a-token-of-enough-length' };
    const { discovery } = await start({ agents, discovery: { sources: [{ kind: 'mdns' }] } }, { mdns });
    await waitFor('an announcement', () => heard.includes(120));
    discovery.reload(await configOf({ agents }));
    await waitFor('a goodbye', () => heard.at(-1) === 0);
  });

  it('knows every port of its own', async () => {
    const config = await configOf({
      listen: 'localhost:1111',
      admin: '127.0.0.1:2222',
      grpc: '127.0.0.1:3333',
      agents: { listen: '127.0.0.1:4444', joinToken: 'a-token-of-enough-length' },
    });
    expect(ownListeners(config).map(({ host, port }) => `${host} ${port}`)).toEqual([
      '127.0.0.1 1111',
      '127.0.0.1 2222',
      '127.0.0.1 3333',
      '127.0.0.1 4444',
    ]);
  });
});
