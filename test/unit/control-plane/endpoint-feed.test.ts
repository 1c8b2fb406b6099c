import { describe, expect, it } from 'vitest';
import { Alarms } from '../../../src/app/alarms.ts';
import { Fleet } from '../../../src/app/fleet.ts';
import { EndpointFeed } from '../../../src/control-plane/endpoint-feed.ts';
import { EndpointPublisher } from '../../../src/envoy/endpoints/publisher.ts';
import { DEFAULT_HEALTH } from '../../../src/fleet/params.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { MemoryLog } from '../../support/memory-log.ts';
import { Subscriber } from '../envoy/endpoints/subscriber.ts';
import { CountingTelemetry, startServer, until } from '../envoy/grpc/harness.ts';
import { spec } from '../fleet/builders.ts';

function feeding(...ids: string[]) {
  const clock = new FakeClock();
  const log = new MemoryLog();
  const fleet = new Fleet(
    ids.map((id) => spec(id)),
    DEFAULT_HEALTH,
    clock,
  );
  const telemetry = new CountingTelemetry();
  const publisher = new EndpointPublisher({ telemetry, log });
  const alarms = new Alarms(clock, log);
  const feed = new EndpointFeed(fleet, publisher, alarms, clock);
  const addressOf = (id: string, address: string) =>
    fleet.observe(id, { kind: 'address', address, hosts: [] });
  const known = () => publisher.published?.endpoints.map(({ node }) => node);
  return { clock, fleet, publisher, telemetry, alarms, feed, addressOf, known };
}

describe('the endpoint feed', () => {
  it('waits for every address before it shows a part of the fleet', async () => {
    const { feed, addressOf, known, clock } = feeding('n1', 'n2');
    feed.start();
    addressOf('n1', '10.0.0.1:1');
    await clock.advance(50);
    expect(known()).toBeUndefined();
    addressOf('n2', '10.0.0.2:1');
    await clock.advance(50);
    expect(known()).toEqual(['n1', 'n2']);
  });

  it('after the first round of polls shows what there is', () => {
    const { feed, addressOf, known } = feeding('n1', 'nameless');
    feed.start();
    addressOf('n1', '10.0.0.1:1');
    feed.settled();
    expect(known()).toEqual(['n1']);
  });

  it('makes one push of changes that come together', async () => {
    const { feed, fleet, addressOf, publisher, clock } = feeding('n1', 'n2');
    feed.start();
    feed.settled();
    const before = publisher.version;
    addressOf('n1', '10.0.0.1:1');
    addressOf('n2', '10.0.0.2:1');
    for (let strike = 0; strike < 3; strike += 1)
      fleet.observe('n2', { kind: 'poll_failed', reason: 'refused', detail: 'x' });
    expect(publisher.version).toBe(before);
    await clock.advance(5);
    expect(publisher.version).toBe(before + 1);
    expect(publisher.published?.endpoints.map(({ isHealthy }) => isHealthy)).toEqual([true, false]);
  });

  it('names two nodes with one address, until that is mended', async () => {
    const { feed, addressOf, alarms, known, clock } = feeding('n1', 'twin');
    feed.start();
    addressOf('n1', '10.0.0.1:1');
    addressOf('twin', '10.0.0.1:1');
    await clock.advance(5);
    expect(known()).toEqual(['n1']);
    expect(alarms.list()).toMatchObject([
      {
        code: 'address_clash',
        message: 'node twin has the same address as n1 (10.0.0.1:1) and is left out; remove one of them',
      },
    ]);
    addressOf('twin', '10.0.0.2:1');
    await clock.advance(5);
    expect(alarms.list()).toEqual([]);
    expect(known()).toEqual(['n1', 'twin']);
  });

  it('F15: says that Envoy refused the endpoints, until it is told others', async () => {
    const { feed, addressOf, publisher, telemetry, alarms, clock } = feeding('n1');
    const running = await startServer([publisher]);
    feed.start();
    addressOf('n1', '10.0.0.1:1');
    await clock.advance(5);
    const envoy = new Subscriber(running.client(publisher.definition));
    envoy.answer(await envoy.inbox.next(), 'malformed IP address');
    await until(() => telemetry.rejected === 1);
    await clock.advance(5);
    expect(alarms.list()).toMatchObject([
      {
        code: 'endpoints_rejected',
        message: 'Envoy refused the endpoints and keeps those it had: malformed IP address',
      },
    ]);
    addressOf('n1', '10.0.0.2:1');
    await clock.advance(5);
    expect(alarms.list()).toEqual([]);
    await running.stop();
  });

  it('a fleet that had addresses before, and now has none, is held back with an alarm', async () => {
    const { feed, publisher, alarms, known } = feeding('n1', 'n2');
    const endpoint = {
      hostname: 'h',
      token: undefined,
      transport: 'plain',
      isHealthy: true,
      isDraining: false,
    };
    publisher.restore(
      {
        endpoints: [
          { ...endpoint, node: 'n1', address: '10.0.0.1:1' },
          { ...endpoint, node: 'n2', address: '10.0.0.2:1' },
        ],
      },
      7,
    );
    feed.start();
    feed.settled();
    expect(known()).toEqual(['n1', 'n2']);
    expect(alarms.list()).toMatchObject([{ code: 'shrink_guard' }]);
  });

  it('F89: a large fleet that goes on changing is shown once per so much time as it has nodes', async () => {
    const ids = Array.from({ length: 1_000 }, (_, i) => `n${i}`);
    const { feed, addressOf, publisher, clock } = feeding(...ids);
    feed.start();
    ids.forEach((id, i) => {
      addressOf(id, `10.0.${i >> 8}.${i & 255}:1`);
    });
    feed.settled();
    const before = publisher.version;
    for (let i = 0; i < 30; i += 1) {
      addressOf('n1', `10.9.0.${i}:1`);
      await clock.advance(10);
    }
    expect(publisher.version - before).toBeLessThanOrEqual(3);
    await clock.advance(100);
    expect(publisher.published?.endpoints[1]?.address).toBe('10.9.0.29:1');
  });

  it('does nothing for a poll that finds a node as it was', async () => {
    const { feed, fleet, addressOf, publisher, clock } = feeding('n1');
    feed.start();
    addressOf('n1', '10.0.0.1:1');
    await clock.advance(5);
    const published = publisher.published;
    let asked = 0;
    const { snapshot } = fleet;
    fleet.snapshot = () => {
      asked += 1;
      return snapshot.call(fleet);
    };
    fleet.observe('n1', { kind: 'resident', models: [], rttMs: 1 });
    await clock.advance(1_000);
    expect(asked).toBe(0);
    expect(publisher.published).toBe(published);
  });
});
