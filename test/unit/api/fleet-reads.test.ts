import { expect, it } from 'vitest';
import { createFleetReads } from '../../../src/api/fleet-reads.ts';
import type { NodeRecord } from '../../../src/fleet/types.ts';
import { aliasesFrom } from '../../../src/routing/aliases.ts';
import { aModel, aNode, aResident, aSnapshot } from './fleet-builder.ts';

function readsOf(...nodes: NodeRecord[]) {
  const snapshot = aSnapshot(nodes);
  return createFleetReads(
    () => snapshot,
    () => 0,
  );
}

const fleet = [
  aNode('gpu1', {
    models: [aModel('alpha:latest'), aModel('beta:7b', { modifiedAt: '2026-02-02T03:04:05Z' })],
    resident: [aResident('alpha:latest', { vramBytes: 7, sizeBytes: 9 })],
  }),
  aNode('gpu2', {
    models: [aModel('alpha:latest'), aModel('hf.co/someone/gamma:q4')],
    record: { version: '0.23.1' },
  }),
];

function body(reply: { readonly body: Buffer } | undefined): unknown {
  return JSON.parse(reply?.body.toString() ?? 'null');
}

it('says that Ollama is running, for GET and HEAD', () => {
  const reads = readsOf();
  const want = {
    status: 200,
    contentType: 'text/plain; charset=utf-8',
    body: Buffer.from('Ollama is running'),
  };
  expect(reads.read('GET', '/', '')).toEqual(want);
  expect(reads.read('HEAD', '/', '')).toEqual(want);
});

it('answers the lowest version of the fleet', () => {
  const reply = readsOf(...fleet).read('GET', '/api/version', '');
  expect(reply).toMatchObject({ status: 200, contentType: 'application/json; charset=utf-8' });
  expect(body(reply)).toEqual({ version: '0.23.1' });
});

it('has a version even when no node has said its own', () => {
  expect(body(readsOf().read('GET', '/api/version', ''))).toEqual({ version: '0.0.0' });
});

it('lists each model once, with the fields of Ollama in their order', () => {
  const reply = readsOf(...fleet).read('GET', '/api/tags', '');
  expect(reply?.contentType).toBe('application/json; charset=utf-8');
  const { models } = body(reply) as { models: { name: string }[] };
  expect(models.map((model) => model.name)).toEqual(['beta:7b', 'alpha:latest', 'hf.co/someone/gamma:q4']);
  expect(Object.keys(models[0] ?? {})).toEqual(['name', 'model', 'modified_at', 'size', 'digest', 'details']);
});

it('lists what is in memory', () => {
  expect(body(readsOf(...fleet).read('GET', '/api/ps', ''))).toMatchObject({
    models: [{ name: 'alpha:latest', model: 'alpha:latest', size: 9, size_vram: 7, context_length: 4096 }],
  });
});

it('lists models as OpenAI does, under its content type', () => {
  const reply = readsOf(...fleet).read('GET', '/v1/models', '');
  expect(reply?.contentType).toBe('application/json');
  expect(body(reply)).toMatchObject({
    object: 'list',
    data: [
      { id: 'beta:7b', object: 'model', created: 1770001445, owned_by: 'library' },
      { id: 'alpha:latest' },
      { id: 'hf.co/someone/gamma:q4', owned_by: 'someone' },
    ],
  });
});

it('names no node and no address', () => {
  const reads = readsOf(...fleet);
  for (const path of ['/api/tags', '/api/ps', '/v1/models', '/api/version', '/v1/models/alpha']) {
    const text = reads.read('GET', path, '')?.body.toString() ?? '';
    expect(text).not.toMatch(/gpu1|gpu2|10\.0\.0\.1/);
  }
});

it.each([
  { path: '/v1/models/alpha', id: 'alpha' },
  { path: '/v1/models/ALPHA:latest', id: 'ALPHA:latest' },
  { path: '/v1/models/alpha%3Alatest', id: 'alpha:latest' },
  { path: '/v1/models/hf.co/someone/gamma:q4', id: 'hf.co/someone/gamma:q4' },
  { path: '/v1/models/hf.co%2Fsomeone%2Fgamma%3Aq4', id: 'hf.co/someone/gamma:q4' },
])('finds one model as it was asked for: $path', ({ path, id }) => {
  const reply = readsOf(...fleet).read('GET', path, '');
  expect(reply?.status).toBe(200);
  expect(body(reply)).toMatchObject({ id, object: 'model' });
});

it('answers 404 in the shape of OpenAI for a model that no node has', () => {
  const reply = readsOf(...fleet).read('GET', '/v1/models/nope', '');
  expect(reply?.status).toBe(404);
  expect(body(reply)).toMatchObject({
    error: { message: "model 'nope' not found", type: 'not_found_error', param: null },
  });
});

it.each(['/v1/models/alpha%253Alatest', '/v1/models/%', '/v1/models/a%00b', '/v1/models/%1b%5b2J'])(
  'refuses what is no name and decodes only once: %s',
  (path) => {
    const reply = readsOf(...fleet).read('GET', path, '');
    expect(reply?.status).toBe(400);
    expect(body(reply)).toMatchObject({ error: { message: 'invalid model name' } });
  },
);

it.each([
  ['POST', '/api/chat'],
  ['POST', '/api/tags'],
  ['DELETE', '/v1/models/alpha'],
  ['GET', '/api/pull'],
  ['GET', '/v1/models/'],
  ['GET', '/api/tags/'],
])('leaves %s %s to others', (method, path) => {
  expect(readsOf(...fleet).read(method, path, '')).toBeUndefined();
});

it('renders once for each snapshot', () => {
  let version = 1;
  let nodes = [aNode('gpu1', { models: [aModel('alpha:latest')] })];
  const reads = createFleetReads(
    () => aSnapshot(nodes, version),
    () => 0,
  );
  const first = reads.read('GET', '/api/tags', '');
  nodes = [];
  expect(reads.read('GET', '/api/tags', '')).toBe(first);
  version = 2;
  expect(body(reads.read('GET', '/api/tags', ''))).toEqual({ models: [] });
});

it('knows aliases as models of their own, and follows their changes', () => {
  const snapshot = aSnapshot(fleet);
  let { aliases } = aliasesFrom({
    'gpt-4o': ['nowhere', 'beta:7b'],
    ghost: ['nowhere'],
    Alpha: ['beta:7b'],
  });
  const reads = createFleetReads(
    () => snapshot,
    () => 0,
    () => aliases,
  );
  const names = (path: string): string[] => {
    const { models = [], data = [] } = body(reads.read('GET', path, '')) as {
      models?: { name: string }[];
      data?: { id: string }[];
    };
    return [...models.map(({ name }) => name), ...data.map(({ id }) => id)].sort();
  };
  const want = ['Alpha', 'beta:7b', 'gpt-4o', 'hf.co/someone/gamma:q4'];
  expect(names('/api/tags')).toEqual(want);
  expect(names('/v1/models')).toEqual(want);
  const { models } = body(reads.read('GET', '/api/tags', '')) as { models: Record<string, unknown>[] };
  const of = (name: string) => models.find((model) => model.name === name);
  expect(of('gpt-4o')).toEqual({ ...of('beta:7b'), name: 'gpt-4o', model: 'gpt-4o' });
  expect(of('Alpha')?.digest).toBe(of('beta:7b')?.digest);
  expect(body(reads.read('GET', '/v1/models/GPT-4o', ''))).toMatchObject({ id: 'GPT-4o', object: 'model' });
  expect(reads.read('GET', '/v1/models/ghost', '')?.status).toBe(404);
  expect(names('/api/ps')).toEqual(['alpha:latest']);
  aliases = aliasesFrom({}).aliases;
  expect(names('/v1/models')).toEqual(['alpha:latest', 'beta:7b', 'hf.co/someone/gamma:q4']);
  expect(reads.read('GET', '/v1/models/gpt-4o', '')?.status).toBe(404);
});
