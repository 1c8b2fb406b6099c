import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type DemoFleet, startDemoFleet } from '../../src/demo/demo-fleet.ts';
import { connectRaw, post, send } from '../support/http-client.ts';

describe('the demo fleet', () => {
  let fleet: DemoFleet;
  beforeAll(async () => {
    fleet = await startDemoFleet();
  });
  afterAll(async () => {
    await fleet.close();
  });

  const models = async (url: string, path: string): Promise<string[]> => {
    const { models: listed } = (await send(url + path)).json() as { models: { name: string }[] };
    return listed.map((model) => model.name);
  };

  it('is three nodes that differ in what they have, one of them warm', async () => {
    expect(new Set(fleet.nodes.map((node) => node.name)).size).toBe(3);
    const onDisk = await Promise.all(fleet.nodes.map((node) => models(node.url, '/api/tags')));
    expect(new Set(onDisk.map((names) => names.join())).size).toBe(3);
    expect(onDisk.every((names) => names.includes('llama3.2:3b'))).toBe(true);
    const warm = await Promise.all(fleet.nodes.map((node) => models(node.url, '/api/ps')));
    expect(warm.filter((names) => names.includes('llama3.2:3b'))).toHaveLength(1);
  });

  it('answers fast where the model is warm and visibly later where it is not', async () => {
    const ask = (url: string): ReturnType<typeof post> =>
      post(`${url}/api/generate`, { model: 'llama3.2:3b', prompt: 'hello', options: { num_predict: 3 } });
    const times = [];
    for (const { url } of fleet.nodes) times.push((await ask(url)).firstByteMs);
    const [warm = 0, ...colds] = times;
    for (const cold of colds) {
      expect(cold).toBeGreaterThan(400);
      expect(cold).toBeGreaterThan(2 * warm);
      expect(cold).toBeLessThan(6_000);
    }
  });

  it('leaves nothing behind', async () => {
    const own = await startDemoFleet();
    await own.close();
    for (const { url } of own.nodes)
      await expect(connectRaw(url)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });
});
