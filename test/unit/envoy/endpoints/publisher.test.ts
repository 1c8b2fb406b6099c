import { status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { EndpointSet } from '../../../../src/app/types.ts';
import { ASSIGNMENT_TYPE } from '../../../../src/envoy/endpoints/assignment.ts';
import { EndpointPublisher } from '../../../../src/envoy/endpoints/publisher.ts';
import type { ClusterLoadAssignment } from '../../../../src/envoy/gen/envoy/config/endpoint/v3/endpoint.ts';
import type {
  DiscoveryRequest,
  DiscoveryResponse,
} from '../../../../src/envoy/gen/envoy/service/discovery/v3/discovery.ts';
import { structFields } from '../../../../src/envoy/grpc/well-known.ts';
import { CountingTelemetry, MemoryLog, type Running, startServer, until } from '../grpc/harness.ts';
import { endpoint, setOf } from './fixtures.ts';
import { Subscriber } from './subscriber.ts';

let telemetry: CountingTelemetry;
let log: MemoryLog;
let publisher: EndpointPublisher;
let running: Running;
let kept: { set: EndpointSet; version: number }[];

beforeEach(async () => {
  telemetry = new CountingTelemetry();
  log = new MemoryLog();
  kept = [];
  publisher = new EndpointPublisher({
    telemetry,
    log,
    onGood: (set, version) => kept.push({ set, version }),
  });
  running = await startServer([publisher]);
});
afterEach(() => running.stop());

function subscribed(first: Partial<DiscoveryRequest> = {}): Subscriber {
  return new Subscriber(running.client(publisher.definition), first);
}

function all(set: EndpointSet): Set<string> {
  return new Set(set.endpoints.map(({ node }) => node));
}

function publish(set: EndpointSet) {
  return publisher.publish(set, all(set));
}

/** The loaded definition unpacks an Any to its content with `@type`. */
function decode(response: DiscoveryResponse): ClusterLoadAssignment {
  const [resource] = response.resources ?? [];
  expect(resource).toMatchObject({ '@type': ASSIGNMENT_TYPE });
  return resource as ClusterLoadAssignment;
}

function nodesOf(response: DiscoveryResponse): (string | number | boolean | undefined)[] {
  return (decode(response).endpoints?.[0]?.lb_endpoints ?? []).map((one) =>
    structFields(one.metadata?.filter_metadata?.warmpath).get('name'),
  );
}

describe('endpoint discovery', () => {
  it('tells a subscriber who the nodes are, with name, token and transport', async () => {
    publish({ endpoints: [endpoint('n1', { token: 't0k', transport: 'tls', address: '[fd00::1]:443' })] });
    const envoy = subscribed();
    const response = await envoy.inbox.next();
    expect(response.type_url).toBe(ASSIGNMENT_TYPE);
    const assignment = decode(response);
    expect(assignment.cluster_name).toBe('nodes');
    const [one] = assignment.endpoints?.[0]?.lb_endpoints ?? [];
    expect(one?.endpoint?.address?.socket_address).toMatchObject({ address: 'fd00::1', port_value: 443 });
    expect(one?.endpoint?.hostname).toBe('n1:11434');
    const metadata = one?.metadata?.filter_metadata ?? {};
    expect([...structFields(metadata.warmpath)]).toEqual([
      ['name', 'n1'],
      ['authorization', 'Bearer t0k'],
    ]);
    expect([...structFields(metadata['envoy.transport_socket_match'])]).toEqual([['tls', 'tls']]);
  });

  it.each([
    { name: 'healthy', more: {}, want: 1 },
    { name: 'down', more: { isHealthy: false }, want: 2 },
    { name: 'draining', more: { isDraining: true, isHealthy: false }, want: 3 },
  ])('marks a node that is $name', async ({ more, want }) => {
    publish({ endpoints: [endpoint('n1', more)] });
    const response = await subscribed().inbox.next();
    expect(decode(response).endpoints?.[0]?.lb_endpoints?.[0]?.health_status).toBe(want);
  });

  it('stays silent until it knows anything, so that Envoy keeps what it has', async () => {
    const envoy = subscribed({ version_info: '4' });
    expect(publisher.publish(setOf(), new Set(['n1']))).toBe('held');
    publish(setOf('n1'));
    expect(nodesOf(await envoy.inbox.next())).toEqual(['n1']);
    expect(envoy.inbox.messages).toHaveLength(1);
  });

  it('F89: thousands of nodes are pushed whole, though encoded in slices, and only the last of several sets', async () => {
    const names = Array.from({ length: 2_100 }, (_, i) => `n${i}`);
    const envoy = subscribed();
    publish(setOf(...names));
    const first = await envoy.inbox.next();
    expect(nodesOf(first)).toEqual(names);
    envoy.answer(first);
    const [overtaken, last] = [names.slice(0, 2_000), names.slice(0, 2_050)];
    publish(setOf(...overtaken));
    publish(setOf(...last));
    expect(nodesOf(await envoy.inbox.next())).toEqual(last);
    expect(envoy.inbox.messages).toHaveLength(2);
  });

  it('pushes each change to every subscriber, and no change to nobody', async () => {
    publish(setOf('n1'));
    const envoys = [subscribed(), subscribed()];
    for (const envoy of envoys) envoy.answer(await envoy.inbox.next());
    expect(publish(setOf('n1'))).toBe('unchanged');
    expect(publish(setOf('n1', 'n2'))).toBe('published');
    for (const envoy of envoys) expect(nodesOf(await envoy.inbox.next())).toEqual(['n1', 'n2']);
    expect(telemetry.pushed).toBe(4);
  });

  it('versions and nonces grow', async () => {
    publish(setOf('n1'));
    const envoy = subscribed();
    const first = await envoy.inbox.next();
    envoy.answer(first);
    publish(setOf('n1', 'n2'));
    const second = await envoy.inbox.next();
    expect(Number(second.version_info)).toBeGreaterThan(Number(first.version_info));
    expect(second.nonce).not.toBe(first.nonce);
  });

  it('F14 goes on from the version that Envoy has after a restart of ours', async () => {
    publish(setOf('n1'));
    const envoy = subscribed({ version_info: '57' });
    expect((await envoy.inbox.next()).version_info).toBe('58');
    publish(setOf('n1', 'n2'));
    expect((await envoy.inbox.next()).version_info).toBe('59');
  });

  it('starts from what a predecessor left, and guards it', async () => {
    publisher.restore(setOf('n1', 'n2', 'n3'), 41);
    const envoy = subscribed({ version_info: '41' });
    expect(nodesOf(await envoy.inbox.next())).toEqual(['n1', 'n2', 'n3']);
    expect(publisher.publish(setOf('n1'), new Set(['n1', 'n2', 'n3']))).toBe('held');
    expect(publisher.publish(setOf('n1'), new Set(['n1']))).toBe('published');
    expect(publisher.version).toBe(43);
  });

  it('F15 keeps calm when Envoy refuses: reported once, not sent again, the next change is', async () => {
    publish(setOf('n1'));
    const envoy = subscribed();
    const bad = await envoy.inbox.next();
    envoy.answer(bad, 'malformed IP address: 999.1.1.1');
    await until(() => telemetry.rejected === 1);
    expect(publisher.lastRejection).toBe('malformed IP address: 999.1.1.1');
    expect(log.lines).toMatchObject([
      { level: 'error', fields: { message: 'malformed IP address: 999.1.1.1' } },
    ]);
    publish(setOf('n1', 'n2'));
    expect(nodesOf(await envoy.inbox.next())).toEqual(['n1', 'n2']);
    expect(publisher.lastRejection).toBeUndefined();
    expect(telemetry.pushed).toBe(2);
  });

  it('calls a set good once an Envoy accepted it, or while none is there to refuse it', async () => {
    publish(setOf('n1'));
    expect(kept).toEqual([{ set: setOf('n1'), version: 1 }]);
    const envoy = subscribed();
    envoy.answer(await envoy.inbox.next());
    publish(setOf('n1', 'n2'));
    envoy.answer(await envoy.inbox.next(), 'no');
    await until(() => telemetry.rejected === 1);
    publish(setOf('n1', 'n3'));
    const last = await envoy.inbox.next();
    expect(kept).toHaveLength(1);
    envoy.answer(last);
    envoy.answer(last);
    await until(() => kept.length === 2);
    expect(kept[1]).toEqual({ set: setOf('n1', 'n3'), version: Number(last.version_info) });
  });

  it('is heard once an Envoy accepted nodes or says that it has some, until it leaves', async () => {
    publish(setOf('a'));
    const fresh = subscribed();
    const first = await fresh.inbox.next();
    expect(publisher.isHeard).toBe(false);
    fresh.answer(first);
    await until(() => publisher.isHeard);
    fresh.call.end();
    await until(() => !publisher.isHeard);
    const known = subscribed({ version_info: '7' });
    await known.inbox.next();
    expect(publisher.isHeard).toBe(true);
    known.call.end();
  });

  it('ignores answers to a push that another has overtaken', async () => {
    publish(setOf('n1'));
    const envoy = subscribed();
    const first = await envoy.inbox.next();
    publish(setOf('n1', 'n2'));
    const second = await envoy.inbox.next();
    envoy.answer(first, 'too late');
    envoy.answer(second);
    publish(setOf('n1', 'n2', 'n3'));
    await envoy.inbox.next();
    expect(telemetry.rejected).toBe(0);
  });

  it('F90 holds back an update that takes most nodes away, says so once, and publishes when they are back', async () => {
    const configured = new Set(['n1', 'n2', 'n3', 'n4']);
    publisher.publish(setOf('n1', 'n2', 'n3', 'n4'), configured);
    expect(publisher.publish(setOf('n1'), configured)).toBe('held');
    expect(publisher.publish(setOf('n1'), configured)).toBe('held');
    expect(publisher.publish(setOf(), configured)).toBe('held');
    expect(log.count('error')).toBe(2);
    expect(publisher.published?.endpoints).toHaveLength(4);
    expect(publisher.publish(setOf('n1', 'n2', 'n3'), configured)).toBe('published');
  });

  it('an emptied configuration is obeyed', async () => {
    publish(setOf('n1', 'n2'));
    const envoy = subscribed();
    envoy.answer(await envoy.inbox.next());
    expect(publisher.publish(setOf(), new Set())).toBe('published');
    expect(decode(await envoy.inbox.next()).endpoints ?? []).toEqual([]);
  });

  it('a subscriber that leaves is forgotten', async () => {
    publish(setOf('n1'));
    const envoy = subscribed();
    await envoy.inbox.next();
    envoy.call.end();
    expect((await envoy.inbox.status).code).toBe(status.OK);
    publish(setOf('n1', 'n2'));
    expect(telemetry.pushed).toBe(1);
  });
});

describe('S22 a hostile subscriber', () => {
  it.each([
    {
      name: 'asks for another type',
      request: { type_url: 'type.googleapis.com/envoy.config.cluster.v3.Cluster' },
    },
    { name: 'asks for another resource', request: { resource_names: ['secrets'] } },
    {
      name: 'asks for very many',
      request: { resource_names: Array.from({ length: 100_000 }, () => 'nodes') },
    },
  ])('that $name is turned away', async ({ request }) => {
    publish(setOf('n1'));
    const envoy = subscribed(request);
    expect((await envoy.inbox.status).code).toBe(status.INVALID_ARGUMENT);
    expect(envoy.inbox.messages).toEqual([]);
  });

  it('that never acknowledges and repeats itself gets each version once', async () => {
    publish(setOf('n1'));
    const envoy = subscribed();
    await envoy.inbox.next();
    for (let i = 0; i < 1_000; i++) envoy.send({ response_nonce: 'nonsense' });
    publish(setOf('n1', 'n2'));
    await envoy.inbox.next();
    expect(telemetry.pushed).toBe(2);
  });

  it('cannot push our version out of range', async () => {
    publish(setOf('n1'));
    const envoy = subscribed({ version_info: '9'.repeat(40) });
    expect((await envoy.inbox.next()).version_info).toBe('1');
  });
});
