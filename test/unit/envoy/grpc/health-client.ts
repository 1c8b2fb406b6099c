import { type ChannelCredentials, type Client, credentials, makeClientConstructor } from '@grpc/grpc-js';
import { HealthService } from '../../../../src/envoy/grpc/health.ts';
import type { CallEvents } from './harness.ts';

interface HealthStub extends Client {
  Check(
    request: { service: string },
    done: (error: { code: number; details: string } | null, answer?: { status?: number }) => void,
  ): void;
  Watch(request: { service: string }): CallEvents<{ status?: number }>;
}

const STATUSES = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'];

/** Asks for health as probes do, on a connection of its own. */
export class HealthClient {
  readonly #stub: HealthStub;

  constructor(address: string, how: ChannelCredentials = credentials.createInsecure(), options: object = {}) {
    const Constructor = makeClientConstructor(new HealthService().definition, 'test');
    const own = { 'grpc.use_local_subchannel_pool': 1, ...options };
    this.#stub = new Constructor(address, how, own) as unknown as HealthStub; // sound: made from its definition
  }

  /** The status, or what the call ended with. */
  check(service: string): Promise<string> {
    return new Promise((resolve) =>
      this.#stub.Check({ service }, (error, answer) =>
        resolve(error === null ? (STATUSES[answer?.status ?? 0] ?? '') : `${error.code} ${error.details}`),
      ),
    );
  }

  watch(service: string, onStatus: (status: string) => void, onEnd: (code: number) => void): void {
    const call = this.#stub.Watch({ service });
    call.on('data', ({ status }) => onStatus(STATUSES[status ?? 0] ?? ''));
    call.on('status', ({ code }) => onEnd(code));
    call.on('error', () => undefined); // the status says the same
  }

  close(): void {
    this.#stub.close();
  }
}
