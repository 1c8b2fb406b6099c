import { afterEach, describe, expect, it } from 'vitest';
import { connectRaw, post, send } from '../support/http-client.ts';
import { type NodeProcess, type SimulatedFleet, spawnNode, startFleet } from './fleet.ts';

const models = [{ name: 'alpha', sizeBytes: 1e7 }];
const ask = { model: 'alpha', prompt: 'hello', options: { num_predict: 2 } };
let fleet: SimulatedFleet | undefined;
let child: NodeProcess | undefined;
afterEach(async () => {
  await fleet?.close();
  await child?.process.stop();
});

describe('a fleet', () => {
  it('tells which node got what, in order, and what should never have come', async () => {
    fleet = await startFleet(2, { models }, (index) => ({ slots: index + 1 }));
    const [one, two] = fleet.specs;
    await send(`${one?.url}/api/ps`);
    await post(`${two?.url}/api/generate`, ask);
    await post(`${one?.url}/api/generate`, ask);
    await post(`${one?.url}/api/pull`, { model: 'x' });
    expect(fleet.inference.map((request) => request.node)).toEqual(['n2', 'n1']);
    expect(fleet.forbidden.map((request) => request.path)).toEqual(['/api/pull']);
    expect(() => fleet?.node('n3')).toThrow('n3');
    fleet.clearRequests();
    expect(fleet.inference).toEqual([]);
  });
});

describe('a node in its own process', () => {
  it('serves, can be frozen and thawed, and is gone when killed', async () => {
    child = await spawnNode({ name: 'far', models });
    expect((await post(`${child.url}/api/generate`, ask)).lines()).toHaveLength(3);
    child.process.kill('SIGSTOP');
    const frozen = send(`${child.url}/api/version`);
    const outcome = await Promise.race([
      frozen.then(() => 'answered'),
      new Promise((resolve) => setTimeout(() => resolve('silent'), 150)),
    ]);
    expect(outcome).toBe('silent');
    child.process.kill('SIGCONT');
    expect((await frozen).status).toBe(200);
    child.process.kill('SIGKILL');
    await child.process.exited;
    await expect(connectRaw(child.url)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });
});
