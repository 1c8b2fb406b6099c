import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { nodesSchema, type RegisteredNodeReport } from '../../src/api/nodes-schema.ts';
import { spawnNode } from '../sim/fleet.ts';
import { realEnvoy } from '../support/envoy.ts';
import { send } from '../support/http-client.ts';
import { describeReal } from '../support/require-real.ts';
import { spawnProcess } from '../support/spawn-process.ts';
import { tempDir } from '../support/temp-dir.ts';
import { waitFor } from '../support/wait-for.ts';
import { type Arena, closeArenas, QUICK, startArena } from './faults/arena.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

/** Runs `warmpath nodes …` against it, and answers what it printed. */
async function nodes(arena: Arena, ...args: string[]): Promise<string> {
  const all = [MAIN, 'nodes', ...args, '--admin', arena.warmpath.adminUrl];
  const child = spawnProcess(process.execPath, all, { env: { NO_COLOR: '1', WARMPATH_CONFIG: undefined } });
  const { code } = await child.exited;
  if (code !== 0) throw new Error(`warmpath nodes ${args.join(' ')} answered ${code}: ${child.output}`);
  return child.output;
}

async function registered(arena: Arena, name: string): Promise<RegisteredNodeReport | undefined> {
  const report = nodesSchema.parse((await send(`${arena.warmpath.adminUrl}/nodes`)).json());
  return report.nodes.find((node) => node.name === name);
}

const servedBy = async (arena: Arena): Promise<unknown> =>
  (await arena.generate()).headers['x-warmpath-node'];
const aLongAnswer = { options: { num_predict: 280 } };

describeReal(await realEnvoy(), 'drains', () => {
  afterEach(closeArenas);

  it('a drained node gets nothing new, ends what it has begun, and stays drained when the control plane dies', async () => {
    const arena = await startArena({ count: 2, common: { ...QUICK, tokensPerSecond: 40 } });
    await nodes(arena, 'drain', 'n2');
    const running = arena.generate(aLongAnswer);
    await waitFor('the request to run', async () => (await arena.node('n1')).inflight === 1);
    expect(await nodes(arena, 'undrain', 'n2')).toBe('n2 takes requests again\n');
    expect(await nodes(arena, 'drain', 'n1', '--note', 'new GPU')).toBe('n1 drains, 1 still run\n');
    for (let i = 0; i < 10; i++) expect(await servedBy(arena)).toBe('n2');
    expect(await arena.node('n1')).toMatchObject({
      status: 'draining',
      inflight: 1,
      drains: [{ cause: 'operator', note: 'new GPU', removeAt: null }],
    });
    expect(await arena.warmpath.metric('warmpath_node_draining', { node: 'n1', cause: 'operator' })).toBe(1);
    const answer = await running;
    expect([answer.status, answer.isComplete, answer.headers['x-warmpath-node']]).toEqual([200, true, 'n1']);

    const { controlPlane } = arena.warmpath.pids;
    process.kill(controlPlane, 'SIGKILL');
    await waitFor('another control plane', () => arena.warmpath.pids.controlPlane !== controlPlane);
    await waitFor('it to answer', async () => (await arena.node('n2')).status === 'ready');
    expect((await arena.node('n1')).drains).toMatchObject([{ cause: 'operator', note: 'new GPU' }]);
    await arena.warmpath.waitUntilRouting();
    for (let i = 0; i < 10; i++) expect(await servedBy(arena)).toBe('n2');

    await nodes(arena, 'drain', 'n2');
    const refused = await arena.generate();
    expect(refused.status).toBe(503);
    expect(refused.headers['retry-after']).toBeDefined();
    expect(refused.text).toContain('every node that has it is being drained');
    await nodes(arena, 'undrain', 'n1');
    await waitFor('n1 to serve', async () => (await servedBy(arena)) === 'n1');
  }, 90_000);

  it('a found node is removed when its requests have ended, stays out, and may be approved again', async () => {
    const dir = tempDir();
    const file = join(dir.path, 'found.yaml');
    writeFileSync(file, '[]\n');
    const arena = await startArena({
      count: 2,
      common: { ...QUICK, tokensPerSecond: 40 },
      config: { discovery: { sources: [{ kind: 'file', path: file }] } },
    });
    await nodes(arena, 'drain', 'n1', 'n2');
    const found = await spawnNode({
      name: 'found',
      ...QUICK,
      tokensPerSecond: 40,
    });
    writeFileSync(file, stringify([{ name: 'found', url: found.url }]));
    await waitFor('it to serve', async () => (await servedBy(arena)) === 'found');

    const running = arena.generate(aLongAnswer);
    await waitFor('the request to run', async () => (await arena.node('found')).inflight === 1);
    const said = await nodes(arena, 'drain', 'found', '--remove-after', '10m');
    expect(said).toBe('found drains, 1 still run; it is removed when its requests have ended\n');
    expect((await running).isComplete).toBe(true);
    await waitFor('it to be removed', async () => (await registered(arena, 'found'))?.state === 'removed');
    expect((await arena.warmpath.status()).nodes.map(({ name }) => name)).toEqual(['n1', 'n2']);
    expect(await nodes(arena, 'list')).toMatch(/^found +removed +file .*an operator removed it/m);
    expect((await arena.generate()).status).toBe(503);

    await nodes(arena, 'approve', 'found');
    await waitFor('it to serve again', async () => (await servedBy(arena)) === 'found');
    await found.process.stop();
    dir.remove();
  }, 90_000);
});
