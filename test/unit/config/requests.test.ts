import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { linePolicy, modelAliases, rewritePolicy, routingParams } from '../../../src/app/params.ts';
import { diffConfig } from '../../../src/config/diff.ts';
import { type LoadOptions, loadConfig } from '../../../src/config/load.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { loadText, problemsOf, variable } from './load-text.ts';

const HOUR = 3_600_000;
const home = { HOME: '/home/me' };
const parse = async (text: string, env: NonNullable<LoadOptions['env']> = home) =>
  (await loadText(text, { env })).config;
const KEY = 'a-key-of-sixteen';

describe('waiting', () => {
  it('is read whole', async () => {
    const { waiting } = await parse(
      'waiting: { maxWait: 1m, maxRequests: 5, maxBytes: 1MiB, ageing: 1s, defaultClass: batch, classes: { /api/chat: interactive }, trustHeaders: false }',
    );
    expect(waiting).toEqual({
      maxWait: 60_000,
      maxRequests: 5,
      maxBytes: 1024 ** 2,
      ageing: 1_000,
      defaultClass: 'batch',
      classes: { '/api/chat': 'interactive' },
      trustHeaders: false,
    });
  });

  it('becomes the policy of the line', async () => {
    const config = await parse('waiting: { maxRequests: 5, maxBytes: 1MiB, ageing: 1s }');
    expect(linePolicy(config)).toEqual({ maxRequests: 5, maxBytes: 1024 ** 2, ageingMs: 1_000 });
  });

  it.each([
    ['{ maxWait: 2h }', 'waiting.maxWait: expected a duration from 0s to 1h, got "2h"'],
    ['{ maxRequests: 0 }', 'waiting.maxRequests: expected a whole number from 1 to 100000, got 0'],
    [
      '{ defaultClass: urgent }',
      'waiting.defaultClass: expected one of interactive, normal, batch, got "urgent"',
    ],
    [
      '{ classes: { /api/pull: batch } }',
      expect.stringMatching(/^waiting\.classes\.\/api\/pull: unknown key; .*\/api\/generate/),
    ],
    ['{ max_wait: 2s }', 'waiting.max_wait: unknown key; did you mean "maxWait"?'],
  ])('refuses %s', async (section, want) => {
    const lines = await problemsOf(parse(`waiting: ${section}`));
    expect(lines.map((line) => line.replace(/^\S+ /, '').replaceAll('"/api/pull"', '/api/pull'))).toEqual([
      want,
    ]);
  });
});

describe('rewrites', () => {
  it('become a policy in seconds, which routing reads too', async () => {
    const config = await parse(
      'rewrites: { numCtx: "off", numCtxBuckets: [4096, 8192], numCtxMax: 16384, keepAliveMin: 1m, keepAliveMax: 2h, unload: anyone, runnerOptions: deny, preloadsPerMinute: 0 }',
    );
    const want = {
      numCtx: 'off',
      numCtxBuckets: [4_096, 8_192],
      numCtxMax: 16_384,
      keepAliveMin: 60,
      keepAliveMax: 7_200,
      unload: 'anyone',
      runnerOptions: 'deny',
      preloadsPerMinute: 0,
    };
    expect(rewritePolicy(config)).toEqual(want);
    expect(routingParams(config).rewrites).toEqual(want);
  });

  it.each([
    [
      '{ keepAliveMin: 2h, keepAliveMax: 1h }',
      'rewrites.keepAliveMin: must not be longer than rewrites.keepAliveMax',
    ],
    [
      '{ keepAliveMin: 48h }', // beyond the default ceiling
      'rewrites.keepAliveMin: must not be longer than rewrites.keepAliveMax',
    ],
    [
      '{ numCtxBuckets: [8192, 4096] }',
      'rewrites.numCtxBuckets.1: must be larger than 8192 before it: buckets ascend',
    ],
    [
      '{ numCtxBuckets: [4096, 4096] }',
      'rewrites.numCtxBuckets.1: must be larger than 4096 before it: buckets ascend',
    ],
    [
      '{ numCtxBuckets: [4096, 8192], numCtxMax: 8000 }',
      'rewrites.numCtxBuckets.1: is larger than rewrites.numCtxMax, 8000',
    ],
    ['{ unload: nobody }', 'rewrites.unload: expected one of privileged, anyone, got "nobody"'],
  ])('refuses %s', async (section, want) => {
    const lines = await problemsOf(parse(`rewrites: ${section}`));
    expect(lines.map((line) => line.replace(/^\S+ /, ''))).toEqual([want]);
  });
});

describe('models', () => {
  it('become aliases by key, each with its models in order', async () => {
    const aliases = modelAliases(
      await parse('models: { GPT-4o: [qwen3:32b, "llama3.1:8b"], small: qwen3:4b, fast: [small, tiny] }'),
    );
    const table = [...aliases].map(([key, { name, targets }]) => [key, name.raw, targets.map((t) => t.raw)]);
    expect(table).toEqual([
      ['gpt-4o:latest', 'GPT-4o', ['qwen3:32b', 'llama3.1:8b']],
      ['small:latest', 'small', ['qwen3:4b']],
      ['fast:latest', 'fast', ['qwen3:4b', 'tiny']],
    ]);
  });

  it.each([
    ['{ a: a }', 'models.a: stands for itself only; name another model, or leave it out'],
    ['{ a: [A:latest] }', 'models.a: stands for itself only; name another model, or leave it out'],
    ['{ a: x, "a:latest": y }', 'models."a:latest": is the same name as "a"'],
    ['{ a: [] }', 'models.a: names no model'],
    ['{ a: 5 }', 'models.a: expected a model or a list of models, best first, got 5'],
    ['{ a: "not a name" }', 'models.a.0: is no name of a model'],
    ['{ "x/y/": b }', 'models."x/y/": is no name of a model'],
    [
      '{ a: "gpt:cloud" }',
      'models.a.0: is a cloud model: requests for those are refused, as their data would leave the fleet',
    ],
  ])('refuses %s', async (section, want) => {
    const lines = await problemsOf(parse(`models: ${section}`));
    expect(lines.map((line) => line.replace(/^\S+ /, ''))).toEqual([want]);
  });

  it('refuses names that lead back to themselves, each with the way round', async () => {
    const lines = await problemsOf(parse('models: { a: b, b: [c, d], c: a, d: [d, e] }'));
    expect(lines).toHaveLength(3);
    expect(lines[0]).toMatch(/models\.a: goes round in a circle: a → b → c → a$/);
    expect(lines.every((line) => !line.includes('models.d'))).toBe(true);
  });
});

describe('clients', () => {
  it('take their keys from the file, the environment and files', async () => {
    const dir = tempDir();
    try {
      writeFileSync(join(dir.path, 'key'), 'key-from-a-file-\n');
      const file = join(dir.path, 'w.yaml');
      writeFileSync(
        file,
        `clients: [{ name: a, key: ${KEY} }, { name: b, key: "${variable('B_KEY')}", class: batch }, { name: c, keyFile: key, privileged: true }]`,
      );
      const { config, files } = await loadConfig({
        file,
        env: { ...home, B_KEY: 'key-from-the-environment' },
        localIps: [],
      });
      expect(config.clients).toEqual([
        { name: 'a', key: KEY, privileged: false },
        { name: 'b', key: 'key-from-the-environment', class: 'batch', privileged: false },
        { name: 'c', key: 'key-from-a-file-', privileged: true },
      ]);
      expect(files).toContain(join(dir.path, 'key'));
    } finally {
      dir.remove();
    }
  });

  it.each([
    [`[{ key: ${KEY} }]`, ['clients.0.name: expected a name']],
    [
      '[{ name: a }]',
      ['clients.0: needs a "key" or "keyFile": the bearer token by which the client is known'],
    ],
    [
      '[{ name: a, key: short }]',
      ['clients.0.key: expected 16 or more visible ASCII characters without blanks'],
    ],
    [`[{ name: a, key: ${KEY}, keyFile: x }]`, ['stands beside "key"', 'does not exist']],
    [`[{ name: a, key: ${KEY} }, { name: a, key: ${KEY}2 }]`, ['clients.1.name: is the name of clients.0']],
    [
      `[{ name: a, key: ${KEY} }, { name: b, key: ${KEY} }]`,
      ['clients.1: has the key of clients.0; each client has its own'],
    ],
    [`[${KEY}]`, ['clients.0: expected a section with "name" and "key"']],
    [
      '[{ name: a, key: "$\\{NOT_SET}" }]'.replace('\\', ''),
      ['clients.0.key: the environment variable "NOT_SET" is not set'],
    ],
    [`[{ name: a, key: ${KEY}, admin: true }]`, ['clients.0.admin: unknown key']],
  ])('refuse %s and never show a key', async (section, wants) => {
    const lines = await problemsOf(parse(`clients: ${section}`));
    expect(lines).toHaveLength(wants.length);
    for (const want of wants) expect(lines.some((line) => line.includes(want))).toBe(true);
    expect(lines.join()).not.toContain(KEY);
    expect(lines.join()).not.toContain('short');
  });
});

describe('from the environment', () => {
  it('come maps, lists, numbers and files', async () => {
    const config = await parse('', {
      ...home,
      WARMPATH_MODELS: 'gpt-4o=qwen3:32b,llama3.1:8b\n fast=qwen3:4b',
      WARMPATH_CLIENTS: `chat=${KEY},= batch=${KEY}2`,
      WARMPATH_WAITING_CLASSES: '/api/embed=batch /v1/embeddings=batch',
      WARMPATH_WAITING_MAX_REQUESTS: '7',
      WARMPATH_WAITING_TRUST_HEADERS: 'false',
      WARMPATH_REWRITES_NUM_CTX_BUCKETS: '4096, 8192',
      WARMPATH_REWRITES_NUM_CTX_MAX: '8192',
      WARMPATH_REWRITES_PRELOADS_PER_MINUTE: '3',
      WARMPATH_DECISIONS_RECORD: '/var/d.jsonl',
      WARMPATH_ROUTING_SHADOW: 'random',
    });
    expect(config).toMatchObject({
      models: { 'gpt-4o': ['qwen3:32b', 'llama3.1:8b'], fast: ['qwen3:4b'] },
      clients: [
        { name: 'chat', key: `${KEY},=` },
        { name: 'batch', key: `${KEY}2` },
      ],
      waiting: {
        maxRequests: 7,
        trustHeaders: false,
        classes: { '/api/embed': 'batch', '/v1/embeddings': 'batch' },
      },
      rewrites: { numCtxBuckets: [4_096, 8_192], numCtxMax: 8_192, preloadsPerMinute: 3 },
      decisions: { record: '/var/d.jsonl' },
      routing: { shadow: 'random' },
    });
  });

  it.each([
    ['WARMPATH_MODELS', 'qwen3:32b', 'models: expected a section of NAME: MODELS'],
    ['WARMPATH_WAITING_CLASSES', 'batch', 'waiting.classes: expected a section of PATH: CLASS'],
    ['WARMPATH_CLIENTS', KEY, 'clients.0.name: expected 1 to 64 letters'],
    ['WARMPATH_REWRITES_NUM_CTX_BUCKETS', '4k', 'rewrites.numCtxBuckets.0: expected a whole number'],
  ])('%s=%s is refused in words, without keys', async (name, value, want) => {
    const lines = await problemsOf(parse('', { ...home, [name]: value }));
    expect(lines[0]).toContain(`${name} ${want}`);
    expect(lines.join()).not.toContain(KEY);
  });
});

it('keeps the record of decisions beside the file that names it', async () => {
  const { record } = (await parse('decisions: { record: d.jsonl }')).decisions;
  expect(record).toMatch(/^\/.*\/d\.jsonl$/);
});

describe('a reload', () => {
  it('applies aliases, rewrites, the line, decisions and the shadow at once', async () => {
    const next = await parse(
      'models: { a: b }\nrewrites: { numCtx: "off" }\nwaiting: { maxWait: 10m, ageing: 1s }\ndecisions: { maxBytes: 1MiB }\nrouting: { shadow: random }',
    );
    const diff = diffConfig(await parse(''), next, new Set());
    expect(diff.applied).toEqual(next);
    expect(diff.needsRestart).toEqual([]);
    expect([...diff.hot].sort()).toEqual([
      'decisions.maxBytes',
      'models.a',
      'rewrites.numCtx',
      'routing.shadow',
      'waiting.ageing',
      'waiting.maxWait',
    ]);
  });

  it('leaves a wait beyond ten minutes to a restart, and applies the rest of the line', async () => {
    const previous = await parse('');
    const diff = diffConfig(previous, await parse('waiting: { maxWait: 1h, ageing: 1s }'), new Set());
    expect(diff.needsRestart).toEqual(['waiting.maxWait']);
    expect(diff.hot).toEqual(['waiting.ageing']);
    expect(diff.applied.waiting).toEqual({ ...previous.waiting, ageing: 1_000 });
    expect(HOUR).toBeGreaterThan(diff.applied.waiting.maxWait);
  });

  it('leaves the first client to a restart, and changes of known ones apply at once', async () => {
    const [none, one, two] = [
      await parse(''),
      await parse(`clients: [{ name: a, key: ${KEY} }]`),
      await parse(`clients: [{ name: a, key: ${KEY}2 }]`),
    ];
    expect(diffConfig(none, one, new Set())).toMatchObject({
      needsRestart: ['clients'],
      hot: [],
      applied: { clients: [] },
    });
    expect(diffConfig(one, two, new Set())).toMatchObject({
      needsRestart: [],
      hot: ['clients'],
      applied: { clients: two.clients },
    });
    expect(diffConfig(one, none, new Set())).toMatchObject({ hot: ['clients'], applied: { clients: [] } });
  });
});
