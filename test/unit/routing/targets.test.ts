import { describe, expect, it } from 'vitest';
import { errorReply } from '../../../src/app/error-reply.ts';
import { RouterError } from '../../../src/request/errors.ts';
import { parseModelName } from '../../../src/request/model-name.ts';
import { aliasesFrom } from '../../../src/routing/aliases.ts';
import { MAX_TARGETS, NO_ALIASES } from '../../../src/routing/rewrite-policy.ts';
import { targetsOf } from '../../../src/routing/targets.ts';
import { node, onDisk, request, snapshot } from './builders.ts';

const names = (...all: string[]) => all.map(parseModelName);
const asks = (model: string, fields: Parameters<typeof request>[0] = {}) =>
  request({ model: parseModelName(model), ...fields });
const { aliases } = aliasesFrom({
  'gpt-4o': ['qwen3:32b', 'llama3.1:8b'],
  fast: ['gpt-4o', 'tiny'],
  old: ['old', 'tiny'],
});
const chatter = ['completion'];
/** Two nodes; `old` does not tell what its models can do. */
const fleet = snapshot(
  node('n1', {
    models: [
      onDisk('qwen3:32b', { capabilities: ['completion', 'tools'] }),
      onDisk('llama3.1:8b', { capabilities: chatter }),
      onDisk('seer:latest', { capabilities: ['completion', 'vision'] }),
      onDisk('embedder:latest', { capabilities: ['embedding'] }),
      onDisk('tiny:latest', { capabilities: chatter }),
      onDisk('mixed:latest', { capabilities: chatter }),
    ],
  }),
  node('n2', {
    models: [onDisk('old:latest'), onDisk('mixed:latest', { capabilities: ['completion', 'tools'] })],
  }),
);
const targets = (model: string, fields: Parameters<typeof request>[0] = {}, table = aliases) =>
  targetsOf(asks(model, fields), fleet, table).map(({ raw }) => raw);

function refusal(work: () => unknown): RouterError {
  try {
    work();
  } catch (error) {
    if (error instanceof RouterError) return error;
    throw error;
  }
  throw new Error('was not refused');
}

describe('the models that may answer', () => {
  it('are the model itself where there is no alias, as the client wrote it', () => {
    expect(targets('TINY', {}, NO_ALIASES)).toEqual(['TINY']);
    expect(targets('nowhere')).toEqual(['nowhere']);
  });

  it('are those of the alias, in order, under any spelling of it', () => {
    expect(targets('gpt-4o')).toEqual(['qwen3:32b', 'llama3.1:8b']);
    expect(targets('GPT-4o:latest')).toEqual(['qwen3:32b', 'llama3.1:8b']);
  });

  it('are those of aliases in the list of an alias', () => {
    expect(targets('fast')).toEqual(['qwen3:32b', 'llama3.1:8b', 'tiny']);
  });

  it('are those of the alias where a real model has its name, which it may list itself', () => {
    expect(targets('old')).toEqual(['old', 'tiny']);
  });

  it("end with the request's own fallbacks, each model once", () => {
    expect(targets('tiny', { fallbackModels: names('nowhere', 'TINY:latest', 'gpt-4o') })).toEqual([
      'tiny',
      'nowhere',
      'qwen3:32b',
      'llama3.1:8b',
    ]);
  });

  it('are bounded', () => {
    const many = aliasesFrom({ all: Array.from({ length: 8 }, (_, i) => `group${i}`), ...groups() }).aliases;
    expect(targets('all', {}, many)).toHaveLength(MAX_TARGETS);
    expect(targets('x', { fallbackModels: names('all', 'y') }, many)).toHaveLength(MAX_TARGETS);
  });
});

describe('what a model cannot do', () => {
  it.each([
    { name: 'tools', fields: { wantsTools: true }, model: 'gpt-4o', want: ['qwen3:32b'] },
    {
      name: 'images',
      fields: { images: 1, fallbackModels: names('seer') },
      model: 'gpt-4o',
      want: ['seer'],
    },
    {
      name: 'a chat',
      fields: { fallbackModels: names('tiny') },
      model: 'embedder',
      want: ['tiny'],
    },
    {
      name: 'an embedding, by a model that nobody named for it',
      fields: { operation: 'embed' as const, fallbackModels: names('tiny', 'embedder') },
      model: 'qwen3:32b',
      want: ['qwen3:32b', 'embedder'],
    },
  ])('leaves it out: $name', ({ fields, model, want }) => {
    expect(targets(model, fields)).toEqual(want);
  });

  it('keeps a model for embeddings that completes where the client names it, by an alias of its own name too', () => {
    const fallback = aliasesFrom({ tiny: ['tiny', 'qwen3:32b', 'embedder'] }).aliases;
    expect(targets('tiny', { operation: 'embed' }, fallback)).toEqual(['tiny', 'embedder']);
  });

  it.each([
    ['that it was not asked yet', 'old'],
    ['that no node has', 'nowhere'],
    ['of which one node has a copy that can', 'mixed'],
  ])('is held against no model %s', (_, model) => {
    expect(targets(model, { wantsTools: true }, NO_ALIASES)).toEqual([model]);
  });

  it('is no matter to descriptions', () => {
    expect(targets('embedder', { operation: 'show', wantsTools: true, images: 3 })).toEqual(['embedder']);
  });

  it.each([
    { model: 'tiny', fields: { wantsTools: true }, says: '"tiny" does not support tools' },
    { model: 'gpt-4o', fields: { images: 2 }, says: '"gpt-4o" does not support vision' },
    {
      model: 'tiny',
      fields: { wantsTools: true, fallbackModels: names('nowhere') },
      says: '"tiny" does not support tools',
    },
    { model: 'Embedder', fields: {}, says: '"Embedder" does not support chat' },
    {
      model: 'embedder',
      fields: { path: '/api/generate', operation: 'generate' as const },
      says: '"embedder" does not support generate',
    },
    {
      model: 'gpt-4o',
      fields: { path: '/api/embed', operation: 'embed' as const },
      says: '"gpt-4o" does not support embeddings',
    },
  ])('is told where none is left: $says', ({ model, fields, says }) => {
    const error = refusal(() => targets(model, fields));
    const { status, body } = errorReply(error, 'ollama');
    expect([status, JSON.parse(body)]).toEqual([400, { error: says }]);
    expect(errorReply(error, 'openai').body).toContain('invalid_request_error');
  });
});

function groups(): Record<string, string[]> {
  return Object.fromEntries(
    Array.from({ length: 8 }, (_, group) => [
      `group${group}`,
      Array.from({ length: 8 }, (__, i) => `m${group}-${i}`),
    ]),
  );
}

it('settles many aliases that lead to the same ones in no time', () => {
  const layers = Object.fromEntries(
    Array.from({ length: 100 }, (_, i) => [
      `a${i}`,
      Array.from({ length: 8 }, (__, j) => (i < 99 ? `a${i + 1}` : `m${j}`)),
    ]),
  );
  const settled = aliasesFrom(layers);
  expect(settled.problems).toEqual([]);
  expect(settled.aliases.get('a0:latest')?.targets.map(({ raw }) => raw)).toEqual(
    Array.from({ length: 8 }, (_, j) => `m${j}`),
  );
});
