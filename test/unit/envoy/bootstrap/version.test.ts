import { expect, it } from 'vitest';
import { isAtLeast, MINIMUM_ENVOY, parseVersion } from '../../../../src/envoy/bootstrap/version.ts';

it.each([
  [
    '\n/usr/bin/envoy  version: 9e5580933739775e8bce696a57a2e1bc99368f23/1.40.0/Clean/RELEASE/BoringSSL\n',
    [1, 40, 0],
  ],
  ['envoy  version: 0/1.39.1-dev/Modified/DEBUG/BoringSSL', [1, 39, 1]],
  ['Docker version 24.0.5, build ced0996', undefined],
  ['', undefined],
])('reads %j', (output, want) => {
  expect(parseVersion(output)).toEqual(want);
});

it.each([
  [[1, 39, 1], true],
  [[1, 39, 0], false],
  [[1, 38, 9], false],
  [[1, 40, 0], true],
  [[2, 0, 0], true],
  [[0, 99, 99], false],
] as const)('version %j is new enough: %s', (version, want) => {
  expect(isAtLeast(version, MINIMUM_ENVOY)).toBe(want);
});
