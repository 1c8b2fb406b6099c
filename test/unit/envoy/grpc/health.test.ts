import { type Client, type ClientReadableStream, status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  type HealthCheckRequest,
  type HealthCheckResponse,
  HealthCheckResponse_ServingStatus as Serving,
} from '../../../../src/envoy/gen/grpc/health/v1/health.ts';
import { HealthService } from '../../../../src/envoy/grpc/health.ts';
import { Inbox, type Running, startServer } from './harness.ts';

let running: Running;
let client: Client;

beforeEach(async () => {
  running = await startServer([]);
  client = running.client(new HealthService().definition);
});
afterEach(() => running.stop());

type Answer = { code: number; serving?: number | undefined };

function check(service: string): Promise<Answer> {
  type Check = (
    this: Client,
    request: HealthCheckRequest,
    done: (error: { code: number } | null, reply?: HealthCheckResponse) => void,
  ) => void;
  const method: unknown = Reflect.get(client, 'Check');
  return new Promise((resolve) => {
    // Sound: the definition that the client was made from declares this method.
    (method as Check).call(client, { service }, (error, reply) =>
      resolve(error === null ? { code: status.OK, serving: reply?.status ?? 0 } : { code: error.code }),
    );
  });
}

function watch(service: string): {
  call: ClientReadableStream<HealthCheckResponse>;
  inbox: Inbox<HealthCheckResponse>;
} {
  type Watch = (this: Client, request: HealthCheckRequest) => ClientReadableStream<HealthCheckResponse>;
  const method: unknown = Reflect.get(client, 'Watch');
  const call = (method as Watch).call(client, { service }); // sound, as above
  return { call, inbox: new Inbox<HealthCheckResponse>(call) };
}

const NAMES = ['', 'readiness', 'envoy.service.ext_proc.v3.ExternalProcessor', 'inference-extension'];

describe('health', () => {
  it.each(NAMES)('"%s" follows readiness', async (name) => {
    expect(await check(name)).toEqual({ code: status.OK, serving: Serving.NOT_SERVING });
    running.server.setReady(true);
    expect(await check(name)).toEqual({ code: status.OK, serving: Serving.SERVING });
    running.server.setReady(false);
    expect(await check(name)).toEqual({ code: status.OK, serving: Serving.NOT_SERVING });
  });

  it('liveness is true as long as the server answers', async () => {
    expect(await check('liveness')).toEqual({ code: status.OK, serving: Serving.SERVING });
  });

  it('an unknown service is NOT_FOUND', async () => {
    expect(await check('nobody')).toEqual({ code: status.NOT_FOUND });
  });

  it('a watcher hears of every change', async () => {
    const { call, inbox } = watch('readiness');
    expect((await inbox.next()).status).toBe(Serving.NOT_SERVING);
    running.server.setReady(true);
    expect((await inbox.next()).status).toBe(Serving.SERVING);
    running.server.setReady(true);
    running.server.setReady(false);
    expect((await inbox.next()).status).toBe(Serving.NOT_SERVING);
    call.cancel();
    await inbox.status;
  });

  it('a watcher of an unknown service is told so and waits', async () => {
    const { call, inbox } = watch('nobody');
    expect((await inbox.next()).status).toBe(Serving.SERVICE_UNKNOWN);
    call.cancel();
    await inbox.status;
  });

  it('S22 watchers are bounded: the oldest makes way', async () => {
    const open = Array.from({ length: 256 }, () => watch(''));
    await Promise.all(open.map(({ inbox }) => inbox.next()));
    const newest = watch('');
    await newest.inbox.next();
    expect((await open[0]?.inbox.status)?.code).toBe(status.RESOURCE_EXHAUSTED);
    newest.call.cancel();
    await newest.inbox.status;
    for (const { call } of open) call.cancel();
    await Promise.all(open.map(({ inbox }) => inbox.status));
  });
});
