import { expect, it } from 'vitest';
import { exposureWarning } from '../../../src/api/exposure-warning.ts';

it.each(['127.0.0.1', '127.8.9.1', '::1', '::ffff:127.0.0.1', 'localhost'])('is content with %s', (host) => {
  expect(exposureWarning(host)).toBeUndefined();
});

it.each(['0.0.0.0', '::', '192.168.1.2', '::ffff:10.0.0.1', 'box.example', 'localhost.evil.example'])(
  'warns of %s',
  (host) => {
    expect(exposureWarning(host)).toContain(host);
  },
);
