import { describe, expect, it } from 'vitest';
import {
  apiFamily,
  INFERENCE_ENDPOINTS,
  inferenceEndpoint,
  READS,
  readEndpoint,
} from '../../../src/request/endpoints.ts';

describe('endpoints', () => {
  it('knows exactly the inference paths that clients may call', () => {
    expect(
      INFERENCE_ENDPOINTS.map(({ path, family, operation }) => `${path} ${family} ${operation}`),
    ).toEqual([
      '/api/generate ollama generate',
      '/api/chat ollama chat',
      '/api/embed ollama embed',
      '/api/embeddings ollama embed',
      '/api/show ollama show',
      '/v1/chat/completions openai chat',
      '/v1/completions openai generate',
      '/v1/embeddings openai embed',
      '/v1/responses openai chat',
      '/v1/messages anthropic chat',
    ]);
  });

  it('takes `name` for `model` only where Ollama does', () => {
    expect(INFERENCE_ENDPOINTS.filter(({ acceptsName }) => acceptsName).map(({ path }) => path)).toEqual([
      '/api/show',
    ]);
  });

  it.each([
    '/api/pull',
    '/api/chat/',
    '/API/chat',
    '/api/chat?x',
    '/api/tags',
    '',
    '__proto__',
    '/v1/messages/batches',
  ])('H04 H07: %j is no inference path', (path) => {
    expect(inferenceEndpoint(path)).toBeUndefined();
  });

  it.each([
    ['/', 'root'],
    ['/api/version', 'version'],
    ['/api/tags', 'tags'],
    ['/api/ps', 'ps'],
    ['/v1/models', 'models'],
    ['/v1/models/hf.co/org/m:t', 'model'],
    ['/v1/models/', undefined],
    ['/api/tags/', undefined],
    ['/v1/modelsx', undefined],
    ['/api/chat', undefined],
  ])('H08: reading %j means %s', (path, read) => {
    expect(readEndpoint(path)?.read).toBe(read);
  });

  it('lists no path twice', () => {
    const paths = [...INFERENCE_ENDPOINTS, ...READS].map(({ path }) => path);
    expect(new Set(paths).size).toBe(paths.length);
  });

  it.each([
    ['/v1/messages', 'anthropic'],
    ['/v1/messages/count_tokens', 'anthropic'],
    ['/v1/models', 'openai'],
    ['/v1/unknown', 'openai'],
    ['/api/chat', 'ollama'],
    ['/', 'ollama'],
    ['/v2/x', 'ollama'],
  ])('answers errors on %j in the shape of %s', (path, family) => {
    expect(apiFamily(path)).toBe(family);
  });
});
