import { expect, it } from 'vitest';
import { Fleet } from '../../../src/app/fleet.ts';
import { nodeSummaries } from '../../../src/control-plane/node-summary.ts';
import { DEFAULT_HEALTH } from '../../../src/fleet/params.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { onDisk, resident, spec } from '../fleet/builders.ts';

it('sums each node up for the banner: where it is, how it is, what it has', () => {
  const fleet = new Fleet(
    [
      spec('n1', { url: { scheme: 'https', host: 'fd00::1', port: 443 } }),
      spec('n2'),
      spec('n3', { drain: true }),
    ],
    DEFAULT_HEALTH,
    new FakeClock(),
  );
  fleet.observe('n1', { kind: 'tags', models: [onDisk('a:latest'), onDisk('b:latest')], rttMs: 1 });
  fleet.observe('n1', { kind: 'resident', models: [resident('a:latest', { name: 'A' })], rttMs: 1 });
  fleet.observe('n2', { kind: 'poll_failed', reason: 'dns', detail: 'ENOTFOUND' });
  expect(nodeSummaries(fleet)).toMatchObject([
    { id: 'n1', url: 'https://[fd00::1]:443', status: 'ready', models: 2, warm: ['A'], failure: undefined },
    { id: 'n2', url: 'http://10.0.0.1:11434', models: undefined, warm: [], failure: 'dns' },
    { id: 'n3', status: 'draining' },
  ]);
});
