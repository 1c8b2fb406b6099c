import { expect, it } from 'vitest';
import { localHosts } from '../../../../src/envoy/bootstrap/hosts.ts';
import { allowedOrigins } from '../../../../src/envoy/bootstrap/origins.ts';

const matches = (regex: string, text: string) =>
  new RegExp(`^(?:${regex.replace('(?i)', '')})$`, 'i').test(text);

it.each([
  ['http://localhost:3000', true],
  ['https://a.example.org', true],
  ['https://a.b.example.org', true],
  ['https://example.org', false],
  ['https://a.example.org.evil', false],
  ['https://evil/a.example.org', false],
  ['https://aXexample.org', false],
  ['null', false],
])('with https://*.example.org configured, %s is allowed: %s', (origin, want) => {
  expect(matches(allowedOrigins(['https://*.example.org']), origin)).toBe(want);
});

it.each([
  ['box', true],
  ['BOX:11434', true],
  ['box.evil.example', false],
  ['a.local', true],
  ['.local', false],
  ['10.0.0.1:1', true],
  ['11.0.0.1', false],
  ['172.15.0.1', false],
  ['172.16.0.1', true],
  ['[::1]:11434', true],
  ['[fd00::1]', true],
  ['[2001:db8::1]', false],
  ['localhost:1:2', false],
  ['', false],
])('a Host of %j is local: %s', (host, want) => {
  expect(matches(localHosts(['box']), host)).toBe(want);
});
