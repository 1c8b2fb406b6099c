import { afterEach, expect, it } from 'vitest';
import { SystemClock } from '../../src/app/system-clock.ts';
import { startSimulatedNode } from '../../src/demo/node-simulator.ts';
import { probeNode } from '../../src/nodes/probe.ts';
import { realEnvoy } from '../support/envoy.ts';
import { describeReal } from '../support/require-real.ts';
import { startWarmpath } from '../support/warmpath.ts';

const open: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

function probe(place: string) {
  const { hostname: host, port } = new URL(place);
  return probeNode(
    { url: { scheme: 'http', host, port: Number(port) } },
    { allowLoopback: true },
    {
      clock: new SystemClock(),
      timeoutMs: 2_000,
      connectTimeoutMs: 1_000,
      lookup: async () => [],
      listeners: () => [],
      localIps: () => [],
    },
    new AbortController().signal,
  );
}

describeReal(await realEnvoy(), 'another Warmpath as a candidate (H15)', () => {
  it.each([
    { name: 'as it is', responseHeaders: true },
    { name: 'that shows nothing of itself in its answers', responseHeaders: false },
  ])('is told from an Ollama, $name', async ({ responseHeaders }) => {
    const node = await startSimulatedNode({
      name: 'n1',
      models: [{ name: 'llama3.2', sizeBytes: 1_000_000 }],
    });
    open.push(() => node.close());
    const warmpath = await startWarmpath({
      nodes: [{ name: 'n1', url: node.url }],
      config: { responseHeaders },
    });
    open.push(() => warmpath.stop());
    expect(await probe(node.url)).toEqual({ ips: ['127.0.0.1'] });
    expect(await probe(warmpath.url)).toEqual({
      problem: expect.stringMatching(/is a Warmpath, not an Ollama/),
    });
  });
});
