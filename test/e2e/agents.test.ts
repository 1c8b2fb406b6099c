import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join, resolve } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { Fleet } from '../../src/app/fleet.ts';
import { fleetParams } from '../../src/app/params.ts';
import { systemClock } from '../../src/app/system-clock.ts';
import { createAgents } from '../../src/control-plane/agents.ts';
import { createDiscovery } from '../../src/control-plane/discovery.ts';
import { createDrains } from '../../src/control-plane/drains.ts';
import { MemoryStore } from '../../src/store/memory.ts';
import { MemoryLog } from '../support/memory-log.ts';
import { tempDir } from '../support/temp-dir.ts';
import { waitFor } from '../support/wait-for.ts';
import { loadText } from '../unit/config/load-text.ts';

const MAIN = resolve(import.meta.dirname, '../../src/main.ts');
const CARDS = resolve(import.meta.dirname, '../unit/agent/fixtures/nvidia-two-cards.csv');
const TOKEN = 'the-join-token-of-this-test';
const GIB = 2 ** 30;

const cleanups: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

/** An Ollama as far as a control plane asks it. */
async function ollama(): Promise<number> {
  const server = createServer((request, response) => {
    const body = request.url === '/api/version' ? { version: '0.24.0' } : { models: [] };
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  cleanups.push(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** The parts of a control plane that agents meet, listening on a free port. */
async function controlPlane(extra = '') {
  const { config } = await loadText(
    `agents: { listen: "127.0.0.1:0", joinToken: "${TOKEN}", allowLoopback: true }\n${extra}`,
  );
  const [clock, log] = [systemClock, new MemoryLog()];
  const store = new MemoryStore(clock);
  const fleet = new Fleet([], fleetParams(config), clock);
  const common = { clock, random: Math.random, log, store, replica: 'r1' };
  const { registry, ...discovery } = (() => {
    const made = createDiscovery({
      ...common,
      config,
      env: {},
      hasRequests: () => false,
      nodeAt: (address) => fleet.nodeAt(address),
    });
    return {
      registry: made.registry,
      load: () => made.load(),
      run: (signal: AbortSignal) => made.run(signal),
    };
  })();
  const follow = (): void => fleet.replaceNodes(registry.members(), fleetParams(config));
  registry.onMembers(follow);
  follow();
  const drains = createDrains({ ...common, registry, fleet, inflight: () => 0, config: () => config });
  const results: string[] = [];
  const agents = createAgents({
    ...common,
    config: () => config,
    registry,
    drains: drains.drains,
    observe: (node, observation) => fleet.observe(node, observation),
    record: (node) => fleet.nodes.get(node),
    isOurs: () => true,
    telemetry: {
      agentRequest: (kind, result) => results.push(`${kind} ${result}`),
      gpuMetricsScraped: () => {},
    },
  });
  await agents.start();
  await discovery.load();
  const stop = new AbortController();
  const running = [discovery, drains, agents].map((part) => part.run(stop.signal));
  cleanups.push(async () => {
    stop.abort();
    await Promise.all(running);
    await agents.close();
    await store.close();
  });
  const view = (node: string) => fleet.snapshot().byId.get(node);
  return { fleet, registry, results, log, view, port: agents.address?.port ?? 0 };
}

/** A real agent on a machine whose nvidia-smi tells of two cards. */
function startAgent(to: number, args: readonly string[]) {
  const dir = tempDir();
  cleanups.push(() => dir.remove());
  const tool = join(dir.path, 'nvidia-smi');
  writeFileSync(tool, `#!/bin/sh\ncat '${CARDS}'\n`);
  chmodSync(tool, 0o755);
  const flags = ['--to', `http://127.0.0.1:${to}`, '--state-dir', dir.path, '--interval', '500ms', ...args];
  const child = spawn(process.execPath, [MAIN, 'agent', ...flags], {
    env: { PATH: `${dir.path}:${process.env.PATH}`, HOME: dir.path, WARMPATH_JOIN_TOKEN: TOKEN },
    stdio: 'ignore',
  });
  const exited = once(child, 'exit');
  const stop = async () => {
    child.kill('SIGTERM');
    await exited;
  };
  cleanups.push(stop);
  return { dir: dir.path, stop };
}

it('a node joins by its agent, shows true VRAM and slots, drains for its owner and returns', async () => {
  const plane = await controlPlane();
  const port = await ollama();
  const { dir } = startAgent(plane.port, [
    '--node',
    'gpu1',
    '--url',
    `http://127.0.0.1:${port}`,
    '--parallel',
    '3',
  ]);
  await waitFor('its VRAM', () => plane.view('gpu1')?.vramSource === 'agent');
  expect(plane.view('gpu1')).toMatchObject({ slots: 3, slotsSource: 'agent' });
  expect(plane.view('gpu1')?.vramTotalBytes).toBeGreaterThan(8 * GIB);
  expect(plane.view('gpu1')?.gpu?.report.gpus).toHaveLength(2);
  writeFileSync(join(dir, 'maintenance'), 'new fan\n');
  await waitFor('the drain', () => plane.view('gpu1')?.status === 'draining');
  expect(plane.fleet.nodes.get('gpu1')?.drains.get('maintenance')?.note).toBe('new fan');
  rmSync(join(dir, 'maintenance'));
  await waitFor('its return', () => plane.view('gpu1')?.status !== 'draining');
});

it('an agent that goes leaves its node in the fleet, without its figures', async () => {
  const plane = await controlPlane();
  const port = await ollama();
  const agent = startAgent(plane.port, ['--node', 'gpu1', '--url', `http://127.0.0.1:${port}`]);
  await waitFor('its VRAM', () => plane.view('gpu1')?.vramSource === 'agent');
  await agent.stop();
  await waitFor('old figures to go', () => plane.view('gpu1')?.vramSource === 'unknown');
  expect(plane.registry.get('gpu1')?.state).toBe('member');
  await waitFor('the word of it', () =>
    plane.log.messages('warn').some((message) => message.includes('has fallen silent')),
  );
});

it('the agent of a configured node adds its figures and changes nothing else', async () => {
  const port = await ollama();
  const plane = await controlPlane(
    `nodes: [{ name: gpu1, url: "http://127.0.0.1:${port}", vram: 4GiB, slots: 2 }]`,
  );
  expect(plane.view('gpu1')?.vramSource).toBe('configured');
  startAgent(plane.port, ['--node', 'gpu1', '--url', `http://127.0.0.1:${port}`, '--parallel', '3']);
  await waitFor('its VRAM', () => plane.view('gpu1')?.vramSource === 'agent');
  expect(plane.view('gpu1')).toMatchObject({ slots: 2, slotsSource: 'configured' });
  expect(plane.registry.get('gpu1')?.source).toBe('config');
});

it('a second machine cannot take the name of the first, even with the token', async () => {
  const plane = await controlPlane();
  const [first, second] = [await ollama(), await ollama()];
  startAgent(plane.port, ['--node', 'gpu1', '--url', `http://127.0.0.1:${first}`]);
  await waitFor('the first', () => plane.view('gpu1')?.vramSource === 'agent');
  startAgent(plane.port, ['--node', 'gpu1', '--url', `http://127.0.0.1:${second}`]);
  await waitFor('the refusal', () => plane.results.includes('join name_taken'));
  expect(plane.registry.get('gpu1')?.spec.url.port).toBe(first);
});
