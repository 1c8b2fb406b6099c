import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { modelKey, parseModelName } from '../../../src/request/model-name.ts';
import { outcome } from './refusal.ts';

const keyOf = (raw: string) => outcome(() => parseModelName(raw).key);

describe('parseModelName', () => {
  it.each([
    // M04: one model, one key
    ['llama3', 'llama3:latest'],
    ['llama3:latest', 'llama3:latest'],
    ['library/llama3', 'llama3:latest'],
    ['registry.ollama.ai/library/llama3:latest', 'llama3:latest'],
    ['https://registry.ollama.ai/library/llama3', 'llama3:latest'],
    ['http://Registry.Ollama.AI/Library/Llama3', 'llama3:latest'],
    // M05
    ['LLAMA3:8B', 'llama3:8b'],
    // M06: blanks around, nothing else
    ['  llama3:8b ', 'llama3:8b'],
    // M09
    ['hf.co/org/Repo-GGUF:Q4_K_M', 'hf.co/org/repo-gguf:q4_k_m'],
    ['host:5000/ns/m:t', 'host:5000/ns/m:t'],
    ['host:5000/ns/m', 'host:5000/ns/m:latest'],
    ['host/library/m', 'host/library/m:latest'],
    ['someone/m', 'someone/m:latest'],
    ['a..b', 'a..b:latest'],
    ['_m', '_m:latest'],
    // B12
    ['__proto__', '__proto__:latest'],
    ['constructor', 'constructor:latest'],
    ['toString', 'tostring:latest'],
    ['hasOwnProperty', 'hasownproperty:latest'],
    // Only the tag makes a cloud model, as in Ollama
    ['word-cloud', 'word-cloud:latest'],
    ['host:5000/ns/word-cloud', 'host:5000/ns/word-cloud:latest'],
    ['word:cloudy', 'word:cloudy'],
    [`${'m'.repeat(80)}:${'t'.repeat(80)}`, `${'m'.repeat(80)}:${'t'.repeat(80)}`],
    [`${'h'.repeat(345)}/n/m`, `${'h'.repeat(345)}/n/m:latest`],
  ])('M04 M05 M06 M09 B12: %j is known as %j', (raw, key) => {
    expect(keyOf(raw)).toBe(key);
    expect(modelKey(raw.trim())).toBe(key);
  });

  it('keeps the spelling of the client, without the blanks around it', () => {
    expect(parseModelName('  LLAMA3:8B ').raw).toBe('LLAMA3:8B');
  });

  it.each(['', ' ', '   '])('asks for a model where the name is %j', (raw) => {
    expect(keyOf(raw)).toBe('model_required');
  });

  it.each([
    // M01, M02
    'a\r\nx-envoy-max-retries: 99',
    'a\u0000b',
    'a\u000bb',
    'a\u007f',
    'a\u0085b',
    'a\u2028b',
    'a\n',
    // M03
    'a'.repeat(513),
    'a'.repeat(10_240),
    `${'m'.repeat(81)}:t`,
    `m:${'t'.repeat(81)}`,
    `${'n'.repeat(81)}/m`,
    `${'h'.repeat(351)}/n/m`,
    `${' '.repeat(600)}${'a'.repeat(513)}`,
    // M06
    '\u00a0llama3',
    '\tllama3',
    'lla ma3',
    // M07
    'lаma3',
    'ｌlama3',
    '\u202ellama3',
    'lla\u200bma3',
    'e\u0301',
    'é',
    '\u212aimi',
    '.a',
    '-a',
    // M08
    '../../etc/passwd',
    'a/../../b',
    'a/b/../c',
    'a//b',
    '/a',
    'a/',
    'a:',
    ':a',
    'a:b:c',
    'a/b/c/d',
    '@sha256:0123',
    'a@sha256-0123',
    '%2e%2e',
    'https://llama3',
    'ftp://h/n/m',
    'hf.co/m',
    // M10, M11
    '<img src=x onerror=alert(1)>',
    'javascript:alert(1)',
    '{{7*7}}',
    '$\u007bjndi:ldap://x}',
    '=cmd|x',
    "'; DROP TABLE traces;--",
    '" OR 1=1',
    '%',
    '\\',
    'a#301',
    '\ufffd',
    '\ud800',
  ])('M01 M02 M03 M06 M07 M08 M10 M11: refuses %j', (raw) => {
    expect(keyOf(raw)).toBe('invalid_model_name');
    expect(modelKey(raw)).toBeUndefined();
  });

  it.each([
    'llama3:cloud',
    'llama3:CLOUD',
    'gpt-oss:120b-cloud',
    'gpt-oss:120b-Cloud',
    'llama3 : CLOUD ',
    'h/n/m:cloud',
    ':cloud',
  ])('B38: refuses the cloud model %j', (raw) => {
    expect(keyOf(raw)).toBe('not_allowed');
    expect(modelKey(raw)).toBeUndefined();
  });

  it('M08: a name within the alphabet never yields a key that walks a path or a URL', () => {
    const name = fc.string({ unit: fc.constantFrom(...'aB0_.:/@-'), maxLength: 20 });
    fc.assert(
      fc.property(name, (raw) => {
        const key = modelKey(raw);
        if (key === undefined) return;
        expect(key).toMatch(
          /^([a-z0-9_][a-z0-9_.:-]*\/)?([a-z0-9_][a-z0-9_-]*\/)?[a-z0-9_][a-z0-9_.-]*:[a-z0-9_][a-z0-9_.-]*$/,
        );
        expect(modelKey(key)).toBe(key);
      }),
      { numRuns: 5000 },
    );
  });
});
