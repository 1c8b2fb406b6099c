import { describe, expect, it } from 'vitest';
import {
  canonicalIp,
  destinationProblem,
  isLoopbackHost,
  isOwnAddress,
} from '../../../src/app/destination.ts';

describe('where a node may be', () => {
  it.each([
    '10.0.0.1',
    '192.168.1.20',
    '100.64.0.9', // carrier-grade NAT, also Tailscale
    '203.0.113.7',
    '198.18.0.1',
    '8.8.8.8',
    'fd12:3456::1',
    '2001:4860::1',
    '::ffff:10.0.0.1',
  ])('%s is fine', (ip) => {
    expect(destinationProblem(ip, { allowLoopback: false })).toBeUndefined();
  });

  it.each([
    { ip: '169.254.169.254', why: 'link-local' },
    { ip: '::ffff:169.254.169.254', why: 'link-local' },
    { ip: '64:ff9b::a9fe:a9fe', why: 'link-local' },
    { ip: '2002:a9fe:a9fe::1', why: 'link-local' },
    { ip: '::a9fe:a9fe', why: 'link-local' },
    { ip: 'fe80::1', why: 'link-local' },
    { ip: 'fd00:ec2::254', why: 'metadata' },
    { ip: '100.100.100.200', why: 'metadata' },
    { ip: '168.63.129.16', why: 'metadata' },
    { ip: '224.0.0.1', why: 'multicast' },
    { ip: 'ff02::1', why: 'multicast' },
    { ip: '255.255.255.255', why: 'broadcast' },
    { ip: '0.0.0.0', why: 'unspecified' },
    { ip: '::', why: 'unspecified' },
    { ip: '240.0.0.1', why: 'reserved' },
    { ip: '2001::1', why: 'Teredo' },
    { ip: 'fe80::1%eth0', why: 'not an IP address' },
    { ip: '0177.0.0.1', why: 'not an IP address' },
    { ip: '2130706433', why: 'not an IP address' },
    { ip: 'gpu1', why: 'not an IP address' },
  ])('$ip is refused: $why', ({ ip, why }) => {
    expect(destinationProblem(ip, { allowLoopback: true })).toContain(why);
  });

  it.each(['127.0.0.1', '127.8.8.8', '::1', '::ffff:127.0.0.1', '64:ff9b::7f00:1'])(
    '%s is for nodes that are configured as this machine',
    (ip) => {
      expect(destinationProblem(ip, { allowLoopback: true })).toBeUndefined();
      expect(destinationProblem(ip, { allowLoopback: false })).toContain('loopback');
    },
  );
});

it.each([
  { host: 'localhost', want: true },
  { host: 'LOCALHOST.', want: true },
  { host: 'gpu.localhost', want: true },
  { host: '127.0.0.2', want: true },
  { host: '::1', want: true },
  { host: 'localhost.example.com', want: false },
  { host: '10.0.0.1', want: false },
])('$host means this machine: $want', ({ host, want }) => {
  expect(isLoopbackHost(host)).toBe(want);
});

it('spells each address in one way', () => {
  expect(canonicalIp('2001:DB8:0:0::1')).toBe(canonicalIp('2001:db8::1'));
  expect(canonicalIp('::ffff:10.0.0.1')).toBe('10.0.0.1');
  expect(canonicalIp('gpu1')).toBeUndefined();
});

describe('our own listeners', () => {
  const all = [{ host: '0.0.0.0', port: 11434 }];
  const local = ['192.168.1.5', 'fe80::1%eth0'];

  it.each([
    { ip: '127.0.0.1', port: 11434, want: true },
    { ip: '::1', port: 11434, want: true },
    { ip: '192.168.1.5', port: 11434, want: true },
    { ip: '::ffff:192.168.1.5', port: 11434, want: true },
    { ip: '192.168.1.6', port: 11434, want: false },
    { ip: '127.0.0.1', port: 11435, want: false },
    { ip: 'gpu1', port: 11434, want: false },
  ])('on all interfaces: $ip:$port is us: $want', ({ ip, port, want }) => {
    expect(isOwnAddress(ip, port, all, local)).toBe(want);
  });

  it('on one address have that one only', () => {
    const one = [{ host: '192.168.1.5', port: 11434 }];
    expect(isOwnAddress('192.168.1.5', 11434, one, local)).toBe(true);
    expect(isOwnAddress('127.0.0.1', 11434, one, local)).toBe(false);
  });

  it('on a port yet to be given are nobody', () => {
    expect(isOwnAddress('127.0.0.1', 0, [{ host: '127.0.0.1', port: 0 }], [])).toBe(false);
  });
});
