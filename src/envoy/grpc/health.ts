import {
  type HealthCheckRequest,
  type HealthCheckResponse,
  HealthCheckResponse_ServingStatus as Serving,
} from '../gen/grpc/health/v1/health.ts';
import type { GrpcCall } from './call.ts';
import { loadService } from './load-proto.ts';
import type { GrpcService } from './service.ts';
import { STATUS } from './status.ts';

/** `readiness` and the others say whether to send requests here; `liveness` is true as long as the process answers. */
const READINESS_NAMES = [
  '',
  'readiness',
  'envoy.service.ext_proc.v3.ExternalProcessor',
  'inference-extension',
];
const LIVENESS = 'liveness';
/** Watchers at once. The oldest makes way for a new one: whoever opens many must not keep others from knowing. */
const MAX_WATCHERS = 256;

type HealthCall = GrpcCall<HealthCheckRequest, HealthCheckResponse>;

/** grpc.health.v1 with Check and Watch. Starts as not serving. */
export class HealthService implements GrpcService {
  readonly definition = loadService('grpc/health/v1/health.proto', 'grpc.health.v1.Health');
  readonly implementation = {
    Check: (call: HealthCall) => this.#check(call),
    Watch: (call: HealthCall) => this.#watch(call),
  };
  readonly #watchers = new Map<HealthCall, string>();
  #isReady = false;

  get isReady(): boolean {
    return this.#isReady;
  }

  /** Tells every watcher that the change concerns. */
  setReady(isReady: boolean): void {
    if (isReady === this.#isReady) return;
    this.#isReady = isReady;
    for (const [call, name] of this.#watchers)
      if (name !== LIVENESS) call.send({ status: this.#statusOf(name) });
  }

  close(): void {
    for (const call of this.#watchers.keys()) call.end();
    this.#watchers.clear();
  }

  #check(call: HealthCall): void {
    call.listen({
      onMessage: ({ service }) => {
        const serving = this.#statusOf(service ?? '');
        if (serving === Serving.SERVICE_UNKNOWN) {
          call.end({ code: STATUS.notFound, details: 'unknown service' });
          return;
        }
        call.send({ status: serving });
        call.end();
      },
      onEnd: () => call.end({ code: STATUS.invalidArgument, details: 'no message' }),
      onOver: () => undefined,
    });
  }

  #watch(call: HealthCall): void {
    call.listen({
      onMessage: ({ service }) => this.#addWatcher(call, service ?? ''),
      onEnd: () => undefined,
      onOver: () => this.#watchers.delete(call),
    });
  }

  #addWatcher(call: HealthCall, name: string): void {
    const [oldest] = this.#watchers.keys();
    if (oldest !== undefined && this.#watchers.size >= MAX_WATCHERS && !this.#watchers.has(call)) {
      this.#watchers.delete(oldest);
      oldest.end({ code: STATUS.resourceExhausted, details: 'too many watchers' });
    }
    const known = this.#statusOf(name);
    this.#watchers.set(call, known === Serving.SERVICE_UNKNOWN ? LIVENESS : name);
    call.send({ status: known });
  }

  #statusOf(service: string): Serving {
    if (service === LIVENESS) return Serving.SERVING;
    if (!READINESS_NAMES.includes(service)) return Serving.SERVICE_UNKNOWN;
    return this.#isReady ? Serving.SERVING : Serving.NOT_SERVING;
  }
}
