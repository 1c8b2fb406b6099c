// node test/bench/scan-body.bench.ts [CASES] — how long reading a request takes, from its body (in slices) and from its bones.
import { BodyScanner } from '../../src/request/body-scanner.ts';
import { inferenceEndpoint } from '../../src/request/endpoints.ts';
import { SCAN_SLICE_BYTES } from '../../src/request/limits.ts';
import { scanBones } from '../../src/request/scan-bones.ts';
import type { InferenceEndpoint } from '../../src/request/types.ts';
import { asReceived, bonesOf } from '../unit/request/bones-of.ts';

const chat = inferenceEndpoint('/api/chat') as InferenceEndpoint; // in the table
const ROUND_MS = 300;

interface Timing {
  readonly microseconds: number;
  /** Longest single slice: what the event loop waits for. */
  readonly longestMicroseconds: number;
}

function chatBody(messages: number, contentBytes: number): string {
  const line = 'Why is the sky blue, and why is it dark at night?\n';
  const paragraph = `${line.repeat(24)}The answer is "scattering".\n`;
  const content = paragraph.repeat(contentBytes / paragraph.length + 1).slice(0, contentBytes);
  return JSON.stringify({
    model: 'llama3.2:3b',
    stream: true,
    options: { num_ctx: 8192 },
    messages: Array.from({ length: messages }, () => ({ role: 'user', content })),
  });
}

const SIZE = 16_000_000;
const fill = (unit: string) => unit.repeat(SIZE / unit.length);
const cases: readonly (readonly [string, string])[] = [
  ['chat 300 B', chatBody(1, 190)],
  ['chat 32 KiB', chatBody(16, 1950)],
  ['chat 220 KB', chatBody(44, 4800)],
  ['chat 1 MiB', chatBody(210, 4800)],
  ['one image, 16 MB', JSON.stringify({ model: 'llava', images: [fill('A')] })],
  ['objects, 16 MB', `{"model":"a","x":[${fill('{},')}1]}`],
  ['messages, 16 MB', `{"model":"a","messages":[${fill('{"role":"user","content":"hi"},')}{}]}`],
  ['empty messages, 16 MB', `{"model":"a","messages":[${fill('{},')}{}]}`],
  ['texts in one message, 16 MB', `{"model":"a","messages":[[${fill('"a",')}1]]}`],
  ['tools, 16 MB', `{"model":"a","tools":[{${fill('"a":"b",')}"a":1}]}`],
  ['long texts, 16 MB', `{"model":"a","messages":[${fill(`"${'中'.repeat(110)}",`)}1]}`],
  ['texts that look cut, 16 MB', `{"model":"a","messages":[${fill(`"${'é'.repeat(33)}#301",`)}1]}`],
  ['texts with bad bytes, 16 MB', `{"model":"a","messages":[${fill(`"${'\ufffd'.repeat(33)}#301",`)}1]}`],
  ['keys, 16 MB', `{"model":"a",${Array.from({ length: 1e6 }, (_, i) => `"key${i}":12`).join(',')}}`],
  ['numbers, 16 MB', `{"model":"a","x":[${fill('1,')}1]}`],
  ['digits, 16 MB', `{"model":"a","x":${fill('1')}}`],
  ['escaped quotes, 16 MB', `{"model":"a","x":"${fill('\\"')}"}`],
  ['backslashes, 16 MB', `{"model":"a","x":"${fill('\\\\')}"}`],
  ['unicode escapes, 16 MB', `{"model":"a","x":"${fill('\\u00e9')}"}`],
];

function time(read: () => number): Timing {
  read();
  const times: number[] = [];
  const longest: number[] = [];
  const end = performance.now() + ROUND_MS;
  do {
    const start = performance.now();
    longest.push(read());
    times.push(performance.now() - start);
  } while (performance.now() < end || times.length < 3);
  return { microseconds: median(times) * 1000, longestMicroseconds: median(longest) * 1000 };
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

/** Reads a body in slices; the longest slice in ms. */
function readBody(bytes: Uint8Array): number {
  const scanner = new BodyScanner(chat, bytes.length);
  let longest = 0;
  for (let isDone = false; !isDone; ) {
    const start = performance.now();
    isDone = scanner.step(bytes, SCAN_SLICE_BYTES);
    longest = Math.max(longest, performance.now() - start);
  }
  scanner.result();
  return longest;
}

const columns = (cells: readonly string[]) =>
  cells.map((cell, i) => (i === 0 ? cell.padEnd(24) : cell.padStart(13))).join('');

console.log(columns(['body', 'bytes', 'µs', 'bytes/µs', 'longest µs', 'bones bytes', 'bones µs']));
for (const [name, text] of cases.filter(([name]) => name.includes(process.argv[2] ?? ''))) {
  const bytes = new TextEncoder().encode(text);
  const body = time(() => readBody(bytes));
  const bones = bonesOf(bytes);
  const received = bones === undefined ? undefined : asReceived(bones);
  const fromBones =
    received === undefined
      ? undefined
      : time(() => {
          if (scanBones(received, chat, bytes.length) === undefined)
            throw new Error(`${name}: bones do not suffice`);
          return 0;
        });
  console.log(
    columns([
      name,
      String(bytes.length),
      body.microseconds.toFixed(1),
      (bytes.length / body.microseconds).toFixed(0),
      body.longestMicroseconds.toFixed(1),
      received === undefined ? 'none' : String(received.length),
      fromBones === undefined ? '-' : fromBones.microseconds.toFixed(1),
    ]),
  );
}
