import { expect, it } from 'vitest';
import { exposureWarnings } from '../../../src/app/exposure-warnings.ts';

const admin = { host: '127.0.0.1', port: 9411 };

it.each(['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1', 'localhost', 'a.localhost'])(
  'S21: %s is this machine only',
  (host) => {
    expect(exposureWarnings({ admin: { host, port: 1 }, grpc: { kind: 'tcp', host, port: 2 } })).toEqual([]);
  },
);

it('S21: a Unix socket is this machine only', () => {
  expect(exposureWarnings({ admin, grpc: { kind: 'unix', path: '/run/x.sock' } })).toEqual([]);
  expect(exposureWarnings({ admin, grpc: undefined })).toEqual([]);
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
