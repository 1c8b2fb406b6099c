import type { RequestListener } from 'node:http';
import { afterEach, expect, it } from 'vitest';
import type { NodeSpec, Observation } from '../../../src/fleet/types.ts';
import { GpuMetricsWatcher, type GpuMetricsWatcherOptions } from '../../../src/nodes/watch-gpu-metrics.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { MemoryLog } from '../../support/memory-log.ts';
import { waitFor } from '../../support/wait-for.ts';
import { spec } from '../fleet/builders.ts';
import { scriptedNode } from './scripted-node.ts';

const TEXT = 'DCGM_FI_DEV_FB_USED{gpu="0"} 1000\nDCGM_FI_DEV_FB_FREE{gpu="0"} 23000\n';
const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

const until = (probe: () => boolean) => waitFor('the exporter', probe, { intervalMs: 5 });

function saying(text: string, status = 200): RequestListener {
  return (_request, response) => {
    response.writeHead(status, { 'content-type': 'text/plain; version=0.0.4' });
    response.end(text);
  };
}

async function watching(handler: RequestListener, fields: Partial<GpuMetricsWatcherOptions> = {}) {
  const exporter = await scriptedNode(handler);
  cleanups.push(() => exporter.close());
  const seen: [string, Observation][] = [];
  const results: string[] = [];
  const [clock, log] = [new FakeClock(), new MemoryLog()];
  const watcher = new GpuMetricsWatcher({
    clock,
    log,
    random: () => 0,
    onObservation: (node, observation) => seen.push([node, observation]),
    onScrape: (_node, result) => results.push(result),
    ...fields,
  });
  cleanups.push(() => watcher.close());
  const node = (url = `http://127.0.0.1:${exporter.port}/metrics?x=1`, id = 'n1'): NodeSpec =>
    spec(id, { gpuMetrics: { url, match: {}, intervalMs: 5_000 } });
  return { exporter, watcher, clock, log, seen, results, node };
}

it('asks at once and then at its interval, and tells what the exporter says', async () => {
  const { exporter, watcher, clock, seen, node } = await watching(saying(TEXT));
  watcher.update([node()]);
  await until(() => seen.length === 1);
  expect(seen[0]).toMatchObject([
    'n1',
    { kind: 'gpu', report: { source: 'prometheus', gpus: [{ index: 0 }] } },
  ]);
  expect(exporter.requests[0]).toMatchObject({ method: 'GET', url: '/metrics?x=1' });
  await clock.advance(4_999);
  expect(exporter.requests).toHaveLength(1);
  await clock.advance(1);
  await until(() => seen.length === 2);
});

it('sends no token of the node, and follows no redirect', async () => {
  const { exporter, watcher, results, node } = await watching((_request, response) => {
    response.writeHead(302, { location: 'http://169.254.169.254/latest' });
    response.end();
  });
  watcher.update([{ ...node(), token: 'sesame' }]);
  await until(() => results.length === 1);
  expect(results).toEqual(['bad_answer']);
  expect(exporter.requests.map(({ headers }) => headers.authorization)).toEqual([undefined]);
});

it.each([
  ['an error', saying('x', 500), 'bad_answer'],
  ['no GPU', saying('go_goroutines 7\n'), 'bad_answer'],
  [
    'no end',
    (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/plain' });
      const more = (): void => {
        if (!response.destroyed) response.write('# '.padEnd(1 << 20, 'x'), () => setImmediate(more));
      };
      more();
    },
    'bad_answer',
  ],
  [
    'half an answer',
    (_request, response) => {
      response.writeHead(200, { 'content-length': '1000' });
      response.write('DCGM_FI');
      setImmediate(() => response.destroy());
    },
    'reset',
  ],
] as [string, RequestListener, string][])(
  'an exporter that says %s tells nothing',
  async (_what, handler, want) => {
    const { watcher, results, seen, node } = await watching(handler);
    watcher.update([node()]);
    await until(() => results.length === 1);
    expect(results).toEqual([want]);
    expect(seen).toEqual([]);
  },
);

it('an exporter that hangs is given up in time', async () => {
  const { watcher, clock, exporter, results, node } = await watching(() => {});
  watcher.update([node()]);
  await until(() => exporter.requests.length === 1);
  await clock.advance(2_000);
  await until(() => results.length === 1);
  expect(results).toEqual(['timeout']);
});

it.each([
  ['a metadata service', 'http://169.254.169.254/metrics', []],
  ['a name that leads there', 'http://exporter.example/metrics', ['169.254.169.254']],
  ['a name that leads to loopback', 'http://exporter.example/metrics', ['127.0.0.1']],
  ['ourselves', 'http://127.0.0.1:9411/metrics', []],
])('never asks %s', async (_what, url, ips) => {
  const { watcher, results, log, node } = await watching(saying(TEXT), {
    lookup: async () => ips,
    listeners: [{ host: '127.0.0.1', port: 9_411 }],
  });
  watcher.update([node(url)]);
  await until(() => results.length === 1);
  expect(results).toEqual(['dns']);
  expect(log.messages('warn')).toEqual([
    'the GPU metrics of n1 cannot be read: name leads to no permitted address',
  ]);
});

it('says once that it fails, and once that it is over', async () => {
  let isBroken = true;
  const { watcher, clock, log, results, node } = await watching((request, response) =>
    saying(isBroken ? 'nothing' : TEXT)(request, response),
  );
  watcher.update([node()]);
  for (const count of [1, 2, 3]) {
    await until(() => results.length === count);
    if (count === 2) isBroken = false;
    await clock.advance(5_000);
  }
  expect(log.messages('warn')).toEqual([
    'the GPU metrics of n1 cannot be read: tells of no GPU that matches',
  ]);
  expect(log.messages('info')).toEqual(['the GPU metrics of n1 are back']);
});

it('follows the list of nodes: those that stay are not disturbed, those that go are not asked again', async () => {
  const { exporter, watcher, clock, seen, node } = await watching(saying(TEXT));
  watcher.update([node(), node(undefined, 'n2'), spec('n3')]);
  await until(() => seen.length === 2);
  expect(watcher.size).toBe(2);
  watcher.update([node()]);
  expect(watcher.size).toBe(1);
  await clock.advance(5_000);
  await until(() => seen.length === 3);
  expect(seen.map(([id]) => id).sort()).toEqual(['n1', 'n1', 'n2']);
  expect(exporter.connections()).toBe(2);
});
