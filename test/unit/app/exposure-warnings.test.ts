import { expect, it } from 'vitest';
import { exposureWarnings as warningsOf } from '../../../src/app/exposure-warnings.ts';
import type { Config } from '../../../src/config/config.ts';
import { loadConfig } from '../../../src/config/load.ts';

const admin = { host: '127.0.0.1', port: 9411 };
const defaults = (await loadConfig({ env: { HOME: '/home/me' }, localIps: [] })).config;
const exposureWarnings = (fields: Partial<Config>) => warningsOf({ ...defaults, ...fields });
const redis = (fields: Partial<Config['store']>) =>
  exposureWarnings({ store: { ...defaults.store, kind: 'redis', ...fields } });

it.each(['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1', 'localhost', 'a.localhost'])(
  'S21: %s is this machine only',
  (host) => {
    expect(exposureWarnings({ admin: { host, port: 1 }, grpc: { kind: 'tcp', host, port: 2 } })).toEqual([]);
  },
);

it('S21: a Unix socket is this machine only', () => {
  expect(exposureWarnings({ admin, grpc: { kind: 'unix', path: '/run/x.sock' } })).toEqual([]);
  expect(exposureWarnings({ admin })).toEqual([]);
});

it.each(['0.0.0.0', '::', '::ffff:10.0.0.1', '192.168.1.5', 'gateway.lan', 'localhost.evil.example'])(
  'S21: %s is warned of, for each interface by name',
  (host) => {
    const both = exposureWarnings({ admin: { host, port: 1 }, grpc: { kind: 'tcp', host, port: 2 } });
    expect(both).toEqual([
      expect.stringContaining(`admin interface listens on ${host}`),
      expect.stringContaining(`gRPC interface listens on ${host}`),
    ]);
  },
);

it('S21: TLS on the gRPC interface keeps listeners out, not callers', () => {
  const grpc = { kind: 'tcp', host: '0.0.0.0', port: 9002 } as const;
  expect(exposureWarnings({ grpc })).toEqual([
    expect.stringContaining('0.0.0.0 without TLS: whoever reaches it'),
  ]);
  const [warning, ...others] = exposureWarnings({
    grpc,
    extProc: { ...defaults.extProc, tls: 'self-signed' },
  });
  expect(warning).toContain('TLS does not tell who calls');
  expect(warning).not.toContain('without TLS');
  expect(others).toEqual([]);
});

it.each([
  ['redis://127.0.0.1:6379', {}],
  ['rediss://[::1]:6379', {}],
  ['rediss://cache.lan:6379', { password: 'sesame', tls: true }],
])('S28: says nothing of Redis at %s', (url, fields) => {
  expect(redis({ url, ...fields })).toEqual([]);
});

it('S28: warns of Redis beyond this machine without a password or without TLS', () => {
  const password = expect.stringContaining('Redis at cache.lan is used without a password');
  const tls = expect.stringContaining('Redis at cache.lan is reached without TLS');
  expect(redis({ url: 'redis://cache.lan:6379' })).toEqual([password, tls]);
  expect(redis({ url: 'rediss://cache.lan:6379', tls: true })).toEqual([password]);
  expect(redis({ clusterNodes: [{ host: 'cache.lan', port: 1 }], password: 'sesame' })).toEqual([tls]);
});

it('S19: warns of agents that report in the clear beyond this machine, and of trust in the whole network', () => {
  const agents = { ...defaults.agents, listen: { host: '0.0.0.0', port: 1 } };
  expect(exposureWarnings({ agents })).toEqual([expect.stringContaining('without TLS')]);
  expect(exposureWarnings({ agents: { ...agents, tlsCert: '/c', tlsKey: '/k' } })).toEqual([]);
  expect(exposureWarnings({ agents: { ...agents, listen: { host: '127.0.0.1', port: 1 } } })).toEqual([]);
  expect(exposureWarnings({ discovery: { ...defaults.discovery, trust: 'lan' } })).toEqual([
    expect.stringContaining('discovery.trust is lan'),
  ]);
});
