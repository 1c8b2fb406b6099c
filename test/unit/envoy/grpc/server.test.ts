import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ProcessingResponse } from '../../../../src/envoy/gen/envoy/service/ext_proc/v3/external_processor.ts';
import { grpcAddress } from '../../../../src/envoy/grpc/bind.ts';
import { startGrpcServer } from '../../../../src/envoy/grpc/server.ts';
import { ProcessorService } from '../../../../src/envoy/processor/service.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { FakeReads, FakeRouter, head, process } from '../processor/fakes.ts';
import { CountingTelemetry, Inbox, MemoryLog, type Running, startServer, until } from './harness.ts';

const CHAT = '{"model":"llama3"}';
const forever = new AbortController().signal;

let folder: string;
let running: Running[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'warmpath-bind-'));
  running = [];
});
afterEach(async () => {
  for (const one of running) await one.stop();
  rmSync(folder, { recursive: true, force: true });
});

function processor(router = new FakeRouter(), telemetry = new CountingTelemetry()): ProcessorService {
  return new ProcessorService({
    router,
    reads: new FakeReads(),
    telemetry,
    log: new MemoryLog(),
    clock: new FakeClock(),
  });
}

async function start(services: ProcessorService[], path?: string): Promise<Running> {
  const one = await startServer(services, path);
  running.push(one);
  return one;
}

describe('the socket', () => {
  it('S21 is for its owner alone', async () => {
    const { path } = await start([]);
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it('takes the place of a socket that nobody listens on any more', async () => {
    const path = join(folder, 'dead.sock');
    leaveSocketBehind(path);
    expect(statSync(path).isSocket()).toBe(true);
    const { server } = await start([], path);
    expect(server.address).toBe(`unix:${path}`);
  });

  it('refuses a path on which somebody listens, and says so', async () => {
    const { path } = await start([]);
    await expect(startServer([], path)).rejects.toThrow(/another process listens/);
  });

  it('never removes a file that is not a socket', async () => {
    const path = join(folder, 'file');
    writeFileSync(path, 'precious');
    await expect(startServer([], path)).rejects.toThrow(/not a socket/);
    expect(statSync(path).isFile()).toBe(true);
  });

  it('explains a path that is too long for a socket', async () => {
    await expect(startServer([], join(folder, 'x'.repeat(120)))).rejects.toThrow(/longer than 107 bytes/);
  });

  it('is removed when the server stops', async () => {
    const one = await startServer([]);
    await one.stop();
    expect(() => statSync(one.path)).toThrow(/ENOENT/);
  });
});

describe('a TCP address', () => {
  it('port 0 becomes the one that was taken; a taken one is refused', async () => {
    const options = {
      limits: { bodyBytes: 1024 },
      services: [],
      clock: new FakeClock(),
      log: new MemoryLog(),
    };
    const server = await startGrpcServer({ ...options, bind: { kind: 'tcp', host: '127.0.0.1', port: 0 } });
    const { port } = server;
    if (port === undefined) throw new Error('no port');
    expect(server.address).toBe(`127.0.0.1:${port}`);
    await expect(
      startGrpcServer({ ...options, bind: { kind: 'tcp', host: '127.0.0.1', port } }),
    ).rejects.toThrow(`gRPC address 127.0.0.1:${port} is taken`);
    await server.close();
  });

  it('IPv6 is written in brackets', () => {
    expect(grpcAddress({ kind: 'tcp', host: '::1', port: 5 })).toBe('[::1]:5');
  });
});

describe('stream resets', () => {
  it('thousands of them cost no other stream', async () => {
    const router = new FakeRouter();
    const telemetry = new CountingTelemetry();
    const service = processor(router, telemetry);
    const one = await start([service]);
    const client = one.client(service.definition);
    const held = process(client);
    const inbox = new Inbox<ProcessingResponse>(held);
    held.write(head({ bones: CHAT }));
    await inbox.next();
    for (let i = 0; i < 3_000; i++) {
      const call = process(client);
      const reset = new Inbox<ProcessingResponse>(call);
      call.write(head({ bones: CHAT }));
      await reset.next();
      call.cancel();
    }
    held.write({ response_headers: {} });
    expect((await inbox.next()).response_headers).toBeDefined();
    held.end();
    expect((await inbox.status).code).toBe(status.OK);
    await until(() => telemetry.closed === 3_001);
    expect(router.finished).toHaveLength(3_001);
  });
});

describe('F27 a graceful stop', () => {
  it('says NOT_SERVING, goes on serving, lets requests finish, then ends', async () => {
    const router = new FakeRouter();
    const service = processor(router);
    const one = await start([service]);
    one.server.setReady(true);
    const client = one.client(service.definition);
    const call = process(client);
    const inbox = new Inbox<ProcessingResponse>(call);
    call.write(head({ bones: CHAT }));
    await inbox.next();

    const stopped = one.server.drain({ delayMs: 5_000, deadlineMs: 30_000 }, forever);
    expect(one.server.isReady).toBe(false);
    const during = process(client);
    const duringInbox = new Inbox<ProcessingResponse>(during);
    during.write(head({ bones: CHAT }));
    expect((await duringInbox.next()).request_headers).toBeDefined();
    during.end();
    await duringInbox.status;

    await one.clock.advance(5_000);
    call.write({ response_headers: {} });
    expect((await inbox.next()).response_headers).toBeDefined();
    call.end();
    expect((await inbox.status).code).toBe(status.OK);
    await until(() => one.clock.pending > 0);
    await one.clock.advance(100);
    await stopped;
    expect(router.finished).toHaveLength(2);
    expect(one.log.lines).toEqual([]);
  });

  it('refuses new connections after the delay', async () => {
    const service = processor();
    const one = await start([service]);
    const stopped = one.server.drain({ delayMs: 1_000, deadlineMs: 1_000 }, forever);
    await one.clock.advance(1_000);
    await one.clock.advance(100);
    await stopped;
    const call = process(one.client(service.definition));
    const inbox = new Inbox<ProcessingResponse>(call);
    expect((await inbox.status).code).toBe(status.UNAVAILABLE);
  });

  it('cuts what is still open at the deadline, and the router hears of it', async () => {
    const router = new FakeRouter();
    const service = processor(router);
    const one = await start([service]);
    const call = process(one.client(service.definition));
    const inbox = new Inbox<ProcessingResponse>(call);
    call.write(head({ bones: CHAT }));
    await inbox.next();
    const stopped = one.server.drain({ delayMs: 0, deadlineMs: 2_000 }, forever);
    await one.clock.advance(0);
    expect(router.finished).toEqual([]);
    await one.clock.advance(2_000);
    await stopped;
    expect(router.finished).toEqual(['d-1']);
    expect(one.log.count('warn')).toBe(1);
  });

  it('a second signal does not wait', async () => {
    const service = processor();
    const one = await start([service]);
    const call = process(one.client(service.definition));
    const inbox = new Inbox<ProcessingResponse>(call);
    call.write(head({ bones: CHAT }));
    await inbox.next();
    const now = new AbortController();
    const stopped = one.server.drain({ delayMs: 5_000, deadlineMs: 30_000 }, now.signal);
    now.abort();
    await stopped;
    expect((await inbox.status).code).toBe(status.OK);
  });
});

/** A socket file as a killed process leaves it. */
function leaveSocketBehind(path: string): void {
  const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  try {
    execFileSync(globalThis.process.execPath, ['-e', script], { stdio: 'ignore' });
  } catch {
    // It killed itself, as it should.
  }
}
