import fc from 'fast-check';
import { expect, it } from 'vitest';
import { BodyBudget } from '../../../../src/envoy/processor/body-budget.ts';
import { HeldBody } from '../../../../src/envoy/processor/held-body.ts';

const bytes = (length: number) => Buffer.alloc(length, 'x');

it('is what came, in one piece, whatever was said of its length; all memory comes back', () => {
  const pieces = fc.array(fc.uint8Array({ maxLength: 9_000 }), { maxLength: 8 });
  fc.assert(
    fc.property(pieces, fc.option(fc.nat(100_000), { nil: undefined }), fc.boolean(), (all, said, keeps) => {
      const budget = new BodyBudget(10_000_000);
      const body = new HeldBody(budget, 1_000_000, said);
      for (const piece of all) expect(body.add(piece)).toBe('taken');
      if (keeps) body.keep();
      expect(Buffer.from(body.bytes).equals(Buffer.concat(all))).toBe(true);
      expect(budget.usedBytes).toBeGreaterThanOrEqual(body.length);
      body.drop();
      body.drop();
      expect(budget.usedBytes).toBe(0);
    }),
  );
});

it('takes no more than it may, alone and with others', () => {
  const budget = new BodyBudget(100_000);
  const body = new HeldBody(budget, 60_000, undefined);
  expect(body.add(bytes(50_000))).toBe('taken');
  expect(body.add(bytes(10_001))).toBe('too_large');
  expect(new HeldBody(budget, 60_000, undefined).add(bytes(50_001))).toBe('no_room');
});

it('does not believe a length of which little has come', () => {
  const budget = new BodyBudget(1_000_000_000);
  const body = new HeldBody(budget, 500_000_000, 400_000_000);
  body.add(bytes(10));
  body.add(bytes(10));
  expect(budget.usedBytes).toBeLessThan(10_000);
});

it('does not hold on to memory that its only piece lies in', () => {
  const large = Buffer.alloc(100_000);
  const body = new HeldBody(new BodyBudget(), 1_000, undefined);
  body.add(large.subarray(0, 10));
  body.keep();
  expect(body.bytes.buffer.byteLength).toBe(10);
});
