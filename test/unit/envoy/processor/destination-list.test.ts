import { expect, it } from 'vitest';
import { destinationList } from '../../../../src/envoy/processor/destination-list.ts';

it.each([
  { name: 'a list as it is', addresses: ['a:1', 'b:1'], isSingle: false, minEndpoints: 1, list: 'a:1,b:1' },
  { name: 'the best one', addresses: ['a:1', 'b:1'], isSingle: true, minEndpoints: 3, list: 'a:1' },
  { name: 'one, again and again', addresses: ['a:1'], isSingle: false, minEndpoints: 3, list: 'a:1,a:1,a:1' },
  {
    name: 'two, from the first again',
    addresses: ['a:1', 'b:1'],
    isSingle: false,
    minEndpoints: 5,
    list: 'a:1,b:1,a:1,b:1,a:1',
  },
  { name: 'enough of them', addresses: ['a:1', 'b:1'], isSingle: false, minEndpoints: 2, list: 'a:1,b:1' },
])('gives $name', ({ addresses, list, ...options }) => {
  expect(destinationList(addresses, options)).toBe(list);
});

it('stays of bounded length', () => {
  const list = destinationList(['a:1'], { isSingle: false, minEndpoints: 1_000_000 });
  expect(list.split(',')).toHaveLength(64);
});
