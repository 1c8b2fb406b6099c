import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { framed, MessageReader } from '../../../../src/envoy/grpc/message-reader.ts';

function read(reader: MessageReader, chunks: readonly Buffer[]) {
  const messages: string[] = [];
  let problem: string | undefined;
  for (const chunk of chunks)
    problem ??= reader.push(chunk, (message) => messages.push(message.toString('hex')));
  return { messages, problem };
}

/** Cuts bytes at the given shares of their length. */
function cut(bytes: Buffer, shares: readonly number[]): Buffer[] {
  const places = [0, ...shares.map((share) => Math.floor(share * bytes.length)), bytes.length].sort(
    (a, b) => a - b,
  );
  return places.slice(1).map((to, index) => bytes.subarray(places[index], to));
}

describe('reading gRPC messages', () => {
  it.each([256 * 1024 - 1, 256 * 1024, 256 * 1024 + 1, 4 * 1024 * 1024, 5_000_001])(
    'puts a message of %i bytes together from pieces, and what follows it',
    (length) => {
      const large = Buffer.alloc(length, 'Warmpath ');
      const bytes = Buffer.concat([framed(large), framed(Buffer.from('next'))]);
      for (const piece of [100_000, 262_144, 1_048_577, bytes.length]) {
        const found: Buffer[] = [];
        const reader = new MessageReader(length);
        for (let at = 0; at < bytes.length; at += piece)
          expect(
            reader.push(bytes.subarray(at, at + piece), (message) => found.push(message)),
          ).toBeUndefined();
        expect(found.map((message) => message.length)).toEqual([length, 4]);
        expect(found[0]?.equals(large)).toBe(true);
        expect(found[1]?.toString()).toBe('next');
      }
    },
  );

  it('takes no memory for what a prefix promises until its bytes come', () => {
    const promise = Buffer.from([0, 3, 0xff, 0xff, 0xff]);
    const before = process.memoryUsage().arrayBuffers;
    const readers = Array.from({ length: 100 }, () => new MessageReader(64 * 1024 * 1024));
    for (const reader of readers) reader.push(promise, () => undefined);
    // 100 of 64 MiB would be 6.4 GB.
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(100 * 1024 * 1024);
  });

  it('finds the same messages wherever the bytes are cut', () => {
    const messages = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 8 });
    const shares = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 20 });
    fc.assert(
      fc.property(messages, shares, (all, places) => {
        const sent = all.map((message) => Buffer.from(message));
        const bytes = Buffer.concat(sent.map(framed));
        const found = read(new MessageReader(300), cut(bytes, places));
        expect(found).toEqual({
          messages: sent.map((message) => message.toString('hex')),
          problem: undefined,
        });
      }),
    );
  });

  it('an empty message is one', () => {
    expect(read(new MessageReader(10), [framed(Buffer.alloc(0))]).messages).toEqual(['']);
  });

  it('S24: a message that says it is too long is refused before it comes', () => {
    const prefix = Buffer.from([0, 0xff, 0xff, 0xff, 0xff]);
    expect(read(new MessageReader(1024), [prefix]).problem).toBe('too_large');
  });

  it('S24: a compressed message is refused', () => {
    const message = framed(Buffer.from('x'));
    message[0] = 1;
    expect(read(new MessageReader(1024), [message]).problem).toBe('compressed');
  });
});
