import { type ServerUnaryCall, type ServerWritableStream, type sendUnaryData, status } from '@grpc/grpc-js';
import {
  type HealthCheckRequest,
  type HealthCheckResponse,
  HealthCheckResponse_ServingStatus as Serving,
} from '../gen/grpc/health/v1/health.ts';
import { loadService } from './load-proto.ts';
import type { GrpcService } from './service.ts';

/** `readiness` and the others say whether to send requests here; `liveness` is true as long as the process answers. */
const READINESS_NAMES = [
  '',
  'readiness',
  'envoy.service.ext_proc.v3.ExternalProcessor',
  'inference-extension',
];
const LIVENESS = 'liveness';
/** Watchers at once; a client that opens more is refused. */
const MAX_WATCHERS = 256;

type CheckCall = ServerUnaryCall<HealthCheckRequest, HealthCheckResponse>;
type WatchCall = ServerWritableStream<HealthCheckRequest, HealthCheckResponse>;

/** grpc.health.v1 with Check and Watch. Starts as not serving. */
export class HealthService implements GrpcService {
  readonly definition = loadService('grpc/health/v1/health.proto', 'grpc.health.v1.Health');
  readonly implementation = {
    Check: (call: CheckCall, reply: sendUnaryData<HealthCheckResponse>) => this.#check(call, reply),
    Watch: (call: WatchCall) => this.#watch(call),
  };
  readonly #watchers = new Map<WatchCall, string>();
  #isReady = false;

  get isReady(): boolean {
    return this.#isReady;
  }

  /** Tells every watcher that the change concerns. */
  setReady(isReady: boolean): void {
    if (isReady === this.#isReady) return;
    this.#isReady = isReady;
    for (const [call, name] of this.#watchers)
      if (name !== LIVENESS) call.write({ status: this.#statusOf(name) });
  }

  close(): void {
    for (const call of this.#watchers.keys()) call.end();
    this.#watchers.clear();
  }

  #check(call: CheckCall, reply: sendUnaryData<HealthCheckResponse>): void {
    const serving = this.#statusOf(call.request.service ?? '');
    if (serving === Serving.SERVICE_UNKNOWN) reply({ code: status.NOT_FOUND, details: 'unknown service' });
    else reply(null, { status: serving });
  }

  #watch(call: WatchCall): void {
    if (this.#watchers.size >= MAX_WATCHERS) {
      call.emit('error', { code: status.RESOURCE_EXHAUSTED, details: 'too many watchers' });
      return;
    }
    const known = this.#statusOf(call.request.service ?? '');
    this.#watchers.set(call, known === Serving.SERVICE_UNKNOWN ? LIVENESS : (call.request.service ?? ''));
    call.on('cancelled', () => this.#watchers.delete(call));
    call.on('error', () => this.#watchers.delete(call));
    call.write({ status: known });
  }

  #statusOf(service: string): Serving {
    if (service === LIVENESS) return Serving.SERVING;
    if (!READINESS_NAMES.includes(service)) return Serving.SERVICE_UNKNOWN;
    return this.#isReady ? Serving.SERVING : Serving.NOT_SERVING;
  }
}
