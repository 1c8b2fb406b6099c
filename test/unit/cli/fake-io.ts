import type { FastifyInstance } from 'fastify';
import { type AdminOptions, createAdminServer } from '../../../src/api/admin-server.ts';
import type { AdminSource } from '../../../src/api/admin-source.ts';
import type { Io, Output } from '../../../src/cli/io.ts';
import { FakeClock } from '../../support/fake-clock.ts';

export class FakeOutput implements Output {
  text = '';
  readonly isTTY: boolean;
  readonly columns: number | undefined;

  constructor({ isTTY = false, columns = undefined as number | undefined } = {}) {
    this.isTTY = isTTY;
    this.columns = columns;
  }

  write(text: string): void {
    this.text += text;
  }
}

export interface FakeIo extends Io {
  readonly out: FakeOutput;
  readonly err: FakeOutput;
  readonly clock: FakeClock;
}

export function aFakeIo(fields: Partial<FakeIo> = {}): FakeIo {
  return {
    out: new FakeOutput(),
    err: new FakeOutput(),
    env: {},
    clock: new FakeClock(),
    fetch: () => Promise.reject(new Error('no network in this test')),
    signal: new AbortController().signal,
    ...fields,
  };
}

/** A `fetch` that reaches the real admin server over the source given, without a socket. */
export function fetchFrom(source: AdminSource, asked: string[] = []): typeof fetch {
  const options: AdminOptions = {
    address: '127.0.0.1:9411',
    allowedHosts: [],
    metrics: { contentType: 'text/plain', render: async () => '' },
    onError: () => {},
  };
  const server: FastifyInstance = createAdminServer(source, options);
  return async (input) => {
    const url = new URL(String(input));
    asked.push(url.href);
    const reply = await server.inject({ url: url.pathname + url.search, headers: { host: url.host } });
    return new Response(reply.body, { status: reply.statusCode });
  };
}
