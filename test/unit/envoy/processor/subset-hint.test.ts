import fc from 'fast-check';
import { expect, it } from 'vitest';
import { endpointAddress } from '../../../../src/envoy/processor/endpoint-address.ts';
import { subsetHint } from '../../../../src/envoy/processor/subset-hint.ts';
import { listValue, overTheWire, stringValue } from './wire.ts';

const NAMESPACE = 'envoy.lb.subset_hint';
const KEY = 'x-gateway-destination-endpoint-subset';

function hinted(value: unknown) {
  return subsetHint(
    overTheWire({ metadata_context: { filter_metadata: { [NAMESPACE]: { fields: { [KEY]: value } } } } }),
  );
}

function among(value: unknown): string[] | 'none' | undefined {
  const hint = hinted(value);
  if (hint === undefined) return undefined;
  return 'among' in hint ? [...hint.among] : 'none';
}

it('says nothing where the proxy says nothing', () => {
  expect(subsetHint(overTheWire({ request_headers: {} }))).toBeUndefined();
  expect(subsetHint({})).toBeUndefined();
  const other = {
    metadata_context: { filter_metadata: { [NAMESPACE]: { fields: { other: stringValue('x') } } } },
  };
  expect(subsetHint(overTheWire(other))).toBeUndefined();
  const elsewhere = {
    metadata_context: { filter_metadata: { 'envoy.lb': { fields: { [KEY]: stringValue('10.0.0.1') } } } },
  };
  expect(subsetHint(overTheWire(elsewhere))).toBeUndefined();
});

it.each([
  {
    name: 'a list',
    value: listValue(['10.0.0.1:11434', '10.0.0.2:8000']),
    want: ['10.0.0.1:11434', '10.0.0.2:8000'],
  },
  { name: 'one string', value: stringValue('10.0.0.1:11434'), want: ['10.0.0.1:11434'] },
  {
    name: 'one string with commas',
    value: stringValue(' 10.0.0.1:1 ,10.0.0.2:2,'),
    want: ['10.0.0.1:1', '10.0.0.2:2'],
  },
  {
    name: 'commas inside a list',
    value: listValue(['10.0.0.1:1,10.0.0.2:2', '10.0.0.3']),
    want: ['10.0.0.1:1', '10.0.0.2:2', '10.0.0.3'],
  },
  { name: 'one address twice', value: listValue(['10.0.0.1:1', '10.0.0.1:1']), want: ['10.0.0.1:1'] },
  {
    name: 'addresses without port',
    value: listValue(['10.0.0.1', 'fd00::1', '[fd00::2]']),
    want: ['10.0.0.1', '[fd00::1]', '[fd00::2]'],
  },
  { name: 'long spellings of IPv6', value: listValue(['[FD00:0:0::0001]:80']), want: ['[fd00::1]:80'] },
  {
    name: 'garbage between',
    value: listValue(['', 'node-1:80', '10.0.0.1:80', '10.0.0.300:1', 'x'.repeat(1e5)]),
    want: ['10.0.0.1:80'],
  },
  { name: 'an empty list', value: listValue([]), want: 'none' },
  { name: 'an empty string', value: stringValue(''), want: 'none' },
  {
    name: 'only garbage',
    value: stringValue('nobody,:80,[]:1,10.0.0.1:0,10.0.0.1:65536,10.0.0.1:'),
    want: 'none',
  },
  { name: 'a number', value: { numberValue: 1 }, want: 'none' },
  { name: 'null', value: { nullValue: 0 }, want: 'none' },
  {
    name: 'a list of other things',
    value: { listValue: { values: [{ numberValue: 1 }, { boolValue: true }] } },
    want: 'none',
  },
])('$name', ({ value, want }) => {
  expect(among(value)).toEqual(want);
});

it('takes ten thousand endpoints and no more, as a list and as a string', () => {
  const many = Array.from(
    { length: 12_000 },
    (_, i) => `10.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}:80`,
  );
  expect(among(listValue(many))).toHaveLength(10_000);
  expect(among(stringValue(many.join(',')))).toHaveLength(10_000);
});

it('takes no longer over millions of commas than over ten thousand', () => {
  expect(among(stringValue(`${','.repeat(4_000_000)}10.0.0.1`))).toBe('none');
  expect(among(listValue(Array.from({ length: 9_000 }, () => ',,,')))).toBe('none');
});

it('gives equal hints the same set, and others others, however many pools take turns', () => {
  const pools = Array.from({ length: 12 }, (_, pool) =>
    listValue([`10.0.${pool}.1:80`, `10.0.${pool}.2:80`]),
  );
  for (let round = 0; round < 3; round += 1)
    for (const [pool, value] of pools.entries())
      expect(among(value)).toEqual([`10.0.${pool}.1:80`, `10.0.${pool}.2:80`]);
  const [one, other] = [hinted(pools[0]), hinted(pools[0])];
  expect(one !== undefined && 'among' in one && one === other).toBe(true);
  // A list is not the string that it would be.
  expect(among(listValue(['10.0.0.1:80,10.0.0.2:80']))).toEqual(among(pools[0]));
});

it('takes only what is an address, whatever is written', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 80 }),
    fc.stringMatching(/^[[\]0-9a-f:.,% ]{0,60}$/),
  );
  fc.assert(
    fc.property(text, (written) => {
      const address = endpointAddress(written);
      if (address !== undefined) expect(address).toMatch(/^(\d+(\.\d+){3}|\[[0-9a-f:]+\])(:\d{1,5})?$/);
    }),
  );
  fc.assert(
    fc.property(fc.ipV4(), fc.ipV6(), fc.integer({ min: 1, max: 65_535 }), (v4, v6, port) => {
      expect(endpointAddress(`${v4}:${port}`)).toBe(`${v4}:${port}`);
      expect(endpointAddress(`[${v6}]:${port}`)).toBe(`${endpointAddress(v6)}:${port}`);
    }),
  );
});
