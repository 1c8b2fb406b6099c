import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { startSimulatedNode } from '../../src/demo/node-simulator.ts';
import { realEnvoy } from '../support/envoy.ts';
import { send } from '../support/http-client.ts';
import { describeReal } from '../support/require-real.ts';
import { tempDir } from '../support/temp-dir.ts';
import { waitFor } from '../support/wait-for.ts';
import { startWarmpath } from '../support/warmpath.ts';

const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

async function simulated(name: string, model: string) {
  const node = await startSimulatedNode({ name, models: [{ name: model, sizeBytes: 1_000_000 }] });
  open.push(() => node.close());
  return node;
}

describeReal(await realEnvoy(), 'nodes that are found while Warmpath runs', () => {
  it('serve once they are found, and no more once they are gone', async () => {
    const [first, second] = [await simulated('one', 'alpha'), await simulated('two', 'beta')];
    const dir = tempDir();
    open.push(() => dir.remove());
    const path = join(dir.path, 'nodes.yaml');
    const list = (nodes: object): void => writeFileSync(path, JSON.stringify(nodes));
    const [one, two] = [
      { name: 'one', url: first.url },
      { name: 'two', url: second.url },
    ];
    list([one]);
    const warmpath = await startWarmpath({
      nodes: [],
      config: { discovery: { sources: [{ kind: 'file', path }] } },
      waitForNodes: false,
    });
    open.push(() => warmpath.stop());
    const ask = async (model: string): Promise<string | undefined> => {
      const body = JSON.stringify({ model, prompt: 'hi', stream: false });
      const answer = await send(`${warmpath.url}/api/generate`, { method: 'POST', body });
      return answer.status === 200 ? String(answer.headers['x-warmpath-node']) : undefined;
    };
    await waitFor('the first node', async () => (await ask('alpha')) === 'one');
    list([one, two]);
    await waitFor('the second node', async () => (await ask('beta')) === 'two');
    expect(await ask('alpha')).toBe('one');
    list([two]);
    await waitFor('one node', async () => (await warmpath.status()).nodes.length === 1);
    expect(await ask('beta')).toBe('two');
    expect(await ask('alpha')).toBeUndefined();
  });
});
