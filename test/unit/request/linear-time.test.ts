import { describe, expect, it } from 'vitest';
import { inferenceEndpoint } from '../../../src/request/endpoints.ts';
import { scanBody } from '../../../src/request/scan-body.ts';
import { scanBones } from '../../../src/request/scan-bones.ts';
import type { InferenceEndpoint } from '../../../src/request/types.ts';
import { utf8 } from './generators.ts';
import { outcome } from './refusal.ts';

const chat = inferenceEndpoint('/api/chat') as InferenceEndpoint; // in the table, see endpoints.test.ts

/** Counts how often a byte of the body is looked at, one by one; runs of plain text go by in words of four. */
function counting(bytes: Uint8Array): { body: Uint8Array; reads: () => number } {
  let reads = 0;
  const body = new Proxy(bytes, {
    get(target, property) {
      if (typeof property === 'string' && /^\d+$/.test(property)) reads++;
      const found: unknown = Reflect.get(target, property, target);
      return typeof found === 'function' ? found.bind(target) : found;
    },
  });
  return { body, reads: () => reads };
}

function readsOf(body: string, read: (bytes: Uint8Array) => unknown): number {
  const { body: bytes, reads } = counting(utf8(body));
  outcome(() => read(bytes));
  return reads();
}

const fill = (unit: string, size: number) => unit.repeat(Math.ceil(size / unit.length));
const hostile: readonly (readonly [string, (size: number) => string])[] = [
  ['objects', (size) => `{"model":"a","x":[${fill('{},', size)}1]}`],
  ['keys', (size) => `{"model":"a",${Array.from({ length: size / 10 }, (_, i) => `"k${i}":1`).join(',')}}`],
  ['keys that fold', (size) => `{"model":"a",${fill('"modeſ":1,', size)}"x":1}`],
  ['numbers', (size) => `{"model":"a","x":[${fill('1,', size)}1]}`],
  ['digits', (size) => `{"model":"a","x":${fill('1', size)}}`],
  ['digits of num_ctx', (size) => `{"model":"a","options":{"num_ctx":${fill('1', size)}}}`],
  ['escaped quotes', (size) => `{"model":"a","x":"${fill('\\"', size)}"}`],
  ['backslashes', (size) => `{"model":"a","x":"${fill('\\\\', size)}"}`],
  ['unicode escapes', (size) => `{"model":"a","x":"${fill('\\u0000', size)}"}`],
  ['short texts between escapes', (size) => `{"model":"a","x":"${fill(`${'x'.repeat(255)}\\n`, size)}"}`],
  ['long texts between escapes', (size) => `{"model":"a","x":"${fill(`${'x'.repeat(300)}\\n`, size)}"}`],
  ['model name', (size) => `{"model":"${fill('a', size)}"}`],
  ['keep_alive', (size) => `{"model":"a","keep_alive":"${fill('0s', size)}"}`],
  ['white space', (size) => `{"model":"a"${fill(' ', size)}}`],
  ['strings that look cut', (size) => `{"model":"a","x":[${fill(`"${'x'.repeat(64)}#301",`, size)}1]}`],
  ['strings that look split', (size) => `{"model":"a","x":[${fill(`"${'x'.repeat(62)}\\u#301",`, size)}1]}`],
  ['messages', (size) => `{"model":"a","messages":[${fill('{"role":"user","content":"hi"},', size)}1]}`],
  ['empty messages', (size) => `{"model":"a","messages":[${fill('{},', size)}1]}`],
  ['long messages', (size) => `{"model":"a","messages":[${fill(`"${'x'.repeat(301)}",`, size)}1]}`],
  ['tools', (size) => `{"model":"a","tools":[{${fill('"a":"b",', size)}"a":1}]}`],
  ['options', (size) => `{"model":"a","options":{${fill('"num_gpu":1,', size)}"a":1}}`],
  ['escaped keys', (size) => `{"model":"a",${fill('"\\u0061bcdefgh":1,', size)}"x":1}`],
  ['escaped options', (size) => `{"model":"a","options":{${fill('"num_\\u0061":1,', size)}"x":1}}`],
  ['tokens', (size) => `{"model":"a","context":[${fill('12,', size)}1]}`],
  [
    'messages that look cut',
    (size) => `{"model":"a","messages":[${fill(`"${'é'.repeat(33)}#301",`, size)}1]}`,
  ],
  ['digits after a hash', (size) => `{"model":"a","x":[${fill(`"#${'1'.repeat(290)}",`, size)}1]}`],
  ['digits after a split', (size) => `{"model":"a","x":"${'x'.repeat(63)}\\#${fill('1', size)}"}`],
  [
    'replacement characters',
    (size) => `{"model":"a","x":["${fill('\ufffd', 90)}#301",${fill('"\ufffd",', size)}1]}`,
  ],
];

describe('B14: hostile bodies cost time in proportion to their length', () => {
  it.each(hostile)('%s', (_, body) => {
    for (const read of [
      (bytes: Uint8Array) => scanBody(bytes, chat, bytes.length),
      (bytes: Uint8Array) => scanBones(bytes, chat, bytes.length + 1),
    ]) {
      const small = body(8_000);
      const large = body(32_000);
      expect(readsOf(small, read)).toBeLessThanOrEqual(9 * small.length + 100);
      expect(readsOf(large, read)).toBeLessThanOrEqual(9 * large.length + 100);
    }
  });

  it.each(['[', '{"a":'])('B13: stops at the nesting limit of %j', (open) => {
    const reads = [8_000, 32_000].map((size) =>
      readsOf(`{"model":"a","x":${fill(open, size)}`, (bytes) => scanBody(bytes, chat, bytes.length)),
    );
    expect(reads[0]).toBe(reads[1]);
    expect(reads[0]).toBeLessThan(20_000);
  });
});
