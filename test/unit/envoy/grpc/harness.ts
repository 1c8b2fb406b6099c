import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Client, credentials, makeClientConstructor, type ServiceDefinition } from '@grpc/grpc-js';
import type { EnvoyTelemetry } from '../../../../src/app/telemetry-port.ts';
import { type GrpcServer, startGrpcServer } from '../../../../src/envoy/grpc/server.ts';
import type { GrpcService } from '../../../../src/envoy/grpc/service.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { MemoryLog } from '../../../support/memory-log.ts';

export { MemoryLog };

/** Counts what the services report. */
export class CountingTelemetry implements EnvoyTelemetry {
  answers = 0;
  opened = 0;
  closed = 0;
  pushed = 0;
  rejected = 0;
  processorAnswered(): void {
    this.answers += 1;
  }
  processorStreamOpened(): void {
    this.opened += 1;
  }
  processorStreamClosed(): void {
    this.closed += 1;
  }
  endpointsPushed(): void {
    this.pushed += 1;
  }
  endpointsRejected(): void {
    this.rejected += 1;
  }
}

export interface Running {
  readonly server: GrpcServer;
  readonly clock: FakeClock;
  readonly log: MemoryLog;
  readonly path: string;
  /** A client for one of the services. */
  client(definition: ServiceDefinition): Client;
  stop(): Promise<void>;
}

/** A server on a Unix socket of its own, in this process. */
export async function startServer(services: readonly GrpcService[], path?: string): Promise<Running> {
  const folder = mkdtempSync(join(tmpdir(), 'warmpath-grpc-'));
  const socket = path ?? join(folder, 'grpc.sock');
  const clock = new FakeClock();
  const log = new MemoryLog();
  const clients: Client[] = [];
  const server = await startGrpcServer({
    bind: { kind: 'unix', path: socket },
    limits: { bodyBytes: 64 * 1024 * 1024 },
    services,
    clock,
    log,
  });
  return {
    server,
    clock,
    log,
    path: socket,
    client(definition) {
      const Constructor = makeClientConstructor(definition, 'test');
      const client = new Constructor(`unix:${socket}`, credentials.createInsecure(), {
        'grpc.max_send_message_length': -1,
        // Two clients with the same options would share a connection.
        'grpc.use_local_subchannel_pool': 1,
      });
      clients.push(client);
      return client;
    },
    async stop() {
      for (const client of clients) client.close();
      await server.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Something that streams messages and ends with a status: a client's call. */
export interface CallEvents<Message> {
  on(event: 'data', listener: (message: Message) => void): unknown;
  on(event: 'status', listener: (status: { code: number; details: string }) => void): unknown;
  on(event: 'error', listener: () => void): unknown;
}

/** Collects a call's messages and lets a test wait for the next. */
export class Inbox<Message> {
  readonly messages: Message[] = [];
  readonly status: Promise<{ code: number; details: string }>;
  #taken = 0;
  #waiting: (() => void)[] = [];

  constructor(call: CallEvents<Message>) {
    call.on('data', (message) => {
      this.messages.push(message);
      for (const wake of this.#waiting.splice(0)) wake();
    });
    this.status = new Promise((resolve) => call.on('status', resolve));
    call.on('error', () => undefined); // the status says the same
  }

  async next(): Promise<Message> {
    while (this.messages.length <= this.#taken) await new Promise<void>((wake) => this.#waiting.push(wake));
    const message = this.messages[this.#taken];
    this.#taken += 1;
    if (message === undefined) throw new Error('no message');
    return message;
  }
}

/** Resolves once `isTrue`, looked at after every turn of the event loop. */
export async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await new Promise<void>((resolve) => setImmediate(resolve));
}
