import { expect, it } from 'vitest';
import type { Config } from '../../../src/config/config.ts';
import { diffConfig, isEmptyDiff } from '../../../src/config/diff.ts';
import { loadText } from './load-text.ts';

const parse = async (text: string): Promise<Config> => (await loadText(text)).config;
const none: ReadonlySet<string> = new Set();
const base = 'nodes:\n  - url: http://a\n  - url: http://b\n';

it('finds nothing between equal configurations', async () => {
  const diff = diffConfig(await parse(base), await parse(`# the same\n${base}`), none);
  expect(isEmptyDiff(diff)).toBe(true);
  expect(diff.needsRestart).toEqual([]);
});

it('tells added, removed and changed nodes apart', async () => {
  const next = await parse('nodes:\n  - { url: http://b, weight: 2 }\n  - url: http://c\n');
  const diff = diffConfig(await parse(base), next, none);
  expect(diff.added.map(({ id }) => id)).toEqual(['c']);
  expect(diff.removed.map(({ id }) => id)).toEqual(['a']);
  expect(diff.changed.map(({ from, to }) => [from.id, from.weight, to.weight])).toEqual([['b', 1, 2]]);
  expect(diff.applied).toEqual(next);
});

it('takes another order of nodes as no change', async () => {
  const diff = diffConfig(
    await parse(base),
    await parse('nodes:\n  - url: http://b\n  - url: http://a\n'),
    none,
  );
  expect(isEmptyDiff(diff)).toBe(true);
});

it('applies what can change while running', async () => {
  const next = await parse(
    `${base}poll: { interval: 2s, jitter: 0 }\nhealth: { downAfter: 5 }\nrouting: { maxAttempts: 4 }\nlog: { level: debug }\n` +
      'agents: { maxNodes: 5 }\ndiscovery: { trust: manual, sources: [{ kind: mdns }] }\nadminToken: 0123456789abcdef\n',
  );
  const diff = diffConfig(await parse(base), next, none);
  expect(diff.hot).toEqual([
    'poll.interval',
    'poll.jitter',
    'health.downAfter',
    'routing.maxAttempts',
    'discovery.trust',
    'discovery.sources',
    'adminToken',
    'log.level',
    'agents.maxNodes',
  ]);
  expect(diff.needsRestart).toEqual([]);
  expect(diff.applied).toEqual(next);
});

it.each([
  ['listen: 127.0.0.1:1', ['listen.host', 'listen.port']],
  ['admin: 127.0.0.1:1', ['admin.port']],
  ['grpc: 127.0.0.1:1', ['grpc']],
  ['stateDir: /elsewhere', ['stateDir']],
  ['limits: { body: 1MiB }', ['limits.body']],
  ['responseHeaders: false', ['responseHeaders']],
  ['origins: ["app://*"]', ['origins']],
  ['log: { format: json }', ['log.format']],
  ['envoy: { concurrency: 3 }', ['envoy.concurrency']],
  ['store: { url: "redis://:secret@a" }', ['store.kind', 'store.url', 'store.password']],
  ['replicas: ["10.0.0.1:1"]', ['replicas']],
  ['agents: { listen: "127.0.0.1:1", joinToken: 0123456789abcdef }', ['agents.joinToken', 'agents.listen']],
])('leaves %s to a restart, and keeps the old value until then', async (line, want) => {
  const previous = await parse(base);
  const diff = diffConfig(previous, await parse(`${base}${line}\n`), none);
  expect(diff.needsRestart).toEqual(want);
  expect(diff.applied).toEqual(previous);
  expect(isEmptyDiff(diff)).toBe(true);
});

it('puts a gRPC address back that the new file has lost', async () => {
  const previous = await parse(`${base}grpc: 127.0.0.1:1\n`);
  const diff = diffConfig(previous, await parse(base), none);
  expect(diff.needsRestart).toEqual(['grpc']);
  expect(diff.applied).toEqual(previous);
});

it('holds a node back whose CA Envoy does not know yet', async () => {
  const previous = await parse('nodes:\n  - url: https://a\n');
  const [a] = previous.nodes;
  if (a === undefined) throw new Error('no node');
  const next = {
    ...previous,
    nodes: [
      { ...a, tlsCaFile: '/new.pem' },
      { ...a, id: 'b', tlsCaFile: '/new.pem' },
    ],
  };
  const held = diffConfig(previous, next, none);
  expect(held.needsRestart).toEqual(['nodes.a.tlsCa', 'nodes.b.tlsCa']);
  expect(held.applied.nodes).toEqual([a]);
  const known = diffConfig(previous, next, new Set(['/new.pem']));
  expect(known.needsRestart).toEqual([]);
  expect(known.applied.nodes).toEqual(next.nodes);
});

it('holds back a node whose https address Envoy was not told of at its start', async () => {
  const next = await parse(
    'nodes: [ { name: new, url: https://10.0.0.9 }, { name: named, url: https://gpu9 } ]',
  );
  const held = diffConfig(await parse('nodes: []'), next, none);
  expect(held.needsRestart).toEqual(['nodes.new.url']);
  expect(held.applied.nodes.map(({ id }) => id)).toEqual(['named']);
  const told = diffConfig(await parse('nodes: []'), next, new Set(['\n10.0.0.9']));
  expect(told.needsRestart).toEqual([]);
});
