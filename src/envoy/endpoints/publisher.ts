import type { Log } from '../../app/log.ts';
import type { EnvoyTelemetry } from '../../app/telemetry-port.ts';
import type { EndpointSet } from '../../app/types.ts';
import type { NodeId } from '../../fleet/types.ts';
import type { DiscoveryRequest, DiscoveryResponse } from '../gen/envoy/service/discovery/v3/discovery.ts';
import type { GrpcCall } from '../grpc/call.ts';
import { loadService } from '../grpc/load-proto.ts';
import type { GrpcService } from '../grpc/service.ts';
import { STATUS } from '../grpc/status.ts';
import { ASSIGNMENT_TYPE } from './assignment.ts';
import { AssignmentEncoder } from './encode-assignment.ts';
import { sameEndpoints } from './same-endpoints.ts';
import { judgeShrink, type NodeIds } from './shrink-guard.ts';
import { Subscription } from './subscription.ts';

export interface PublisherDependencies {
  readonly telemetry: EnvoyTelemetry;
  readonly log: Log;
  /**
   * Told once of every set that is known to be good, with its version: an Envoy accepted it, or none is there that
   * could refuse it. The last known good is kept from it.
   */
  readonly onGood?: (set: EndpointSet, version: number) => void;
}

export type PublishResult = 'published' | 'unchanged' | 'held';

type DiscoveryCall = GrpcCall<DiscoveryRequest, DiscoveryResponse>;

/** Streams at once; a client that opens more is refused. */
const MAX_STREAMS = 256;

/** EDS: tells every Envoy that subscribes who the nodes are, and again with each change. */
export class EndpointPublisher implements GrpcService {
  readonly definition = loadService(
    'envoy/service/endpoint/v3/eds.proto',
    'envoy.service.endpoint.v3.EndpointDiscoveryService',
    ['envoy/config/endpoint/v3/endpoint.proto'],
  );
  readonly implementation = { StreamEndpoints: (call: DiscoveryCall) => this.#open(call) };
  readonly #deps: PublisherDependencies;
  readonly #streams = new Map<DiscoveryCall, Subscription>();
  #set: EndpointSet | undefined;
  #good: EndpointSet | undefined;
  #version = 0;
  #held: EndpointSet | undefined;
  readonly #encoder = new AssignmentEncoder();
  #lastRejection: string | undefined;
  #onRejected: (() => void) | undefined;

  constructor(deps: PublisherDependencies) {
    this.#deps = deps;
  }

  /** What Envoy is told; undefined before the first set. */
  get published(): EndpointSet | undefined {
    return this.#set;
  }

  get version(): number {
    return this.#version;
  }

  /** Some Envoy knows nodes of ours: before, an answer that names them would find an empty cluster. */
  get isHeard(): boolean {
    for (const subscription of this.#streams.values()) if (subscription.hasNodes) return true;
    return false;
  }

  /** Envoy's message where it refused the latest version; undefined where all is well. */
  get lastRejection(): string | undefined {
    return this.#lastRejection;
  }

  /** Calls `listener` whenever Envoy refuses a set. Only one listener is kept. */
  onRejected(listener: () => void): void {
    this.#onRejected = listener;
  }

  /** Starts from what a predecessor published: the shrink guard then protects that set, and versions go on. */
  restore(set: EndpointSet, version: number): void {
    if (this.#set !== undefined) return;
    this.#set = set;
    this.#good = set;
    this.#version = version;
    this.#pushAll();
  }

  /** `configured`: every node that the configuration names now; those missing from the set are missing by accident. */
  publish(set: EndpointSet, configured: NodeIds): PublishResult {
    if (this.#set !== undefined && sameEndpoints(this.#set, set)) {
      this.#held = undefined;
      return 'unchanged';
    }
    if (this.#set !== undefined) {
      const verdict = judgeShrink(this.#set, set, configured);
      if (verdict.kind === 'hold') {
        this.#reportHeld(set, verdict.lost);
        return 'held';
      }
    } else if (set.endpoints.length === 0 && configured.size > 0) {
      // Nothing is known yet: an Envoy that still has its nodes keeps them.
      return 'held';
    }
    this.#set = set;
    this.#held = undefined;
    this.#version += 1;
    this.#lastRejection = undefined;
    if (this.#streams.size === 0) this.#isGood();
    this.#pushAll();
    return 'published';
  }

  close(): void {
    for (const call of this.#streams.keys()) call.end();
    this.#streams.clear();
  }

  #open(call: DiscoveryCall): void {
    if (this.#streams.size >= MAX_STREAMS) {
      call.end({ code: STATUS.resourceExhausted, details: 'too many subscriptions' });
      return;
    }
    const subscription = new Subscription();
    this.#streams.set(call, subscription);
    call.listen({
      onMessage: (request) => this.#receive(call, subscription, request),
      onEnd: () => call.end(),
      onOver: () => this.#streams.delete(call),
    });
  }

  #receive(call: DiscoveryCall, subscription: Subscription, request: DiscoveryRequest): void {
    if (!this.#streams.has(call)) return;
    const news = subscription.receive(request);
    switch (news.kind) {
      case 'violation':
        this.#streams.delete(call);
        call.end({ code: STATUS.invalidArgument, details: news.detail });
        break;
      case 'subscribed':
        // After a restart of ours Envoy tells which version it has: ours must not look older.
        this.#version = Math.max(this.#version, news.version + 1);
        this.#pushAll();
        break;
      case 'rejected':
        this.#lastRejection = news.message;
        this.#deps.telemetry.endpointsRejected();
        this.#onRejected?.();
        this.#deps.log.error(
          { version: news.version, message: news.message },
          'Envoy refused the endpoints and keeps those it had',
        );
        break;
      case 'accepted':
        if (news.version === this.#version) this.#isGood();
        break;
      case 'stale':
        break;
    }
  }

  #isGood(): void {
    if (this.#set === undefined || this.#set === this.#good) return;
    this.#good = this.#set;
    this.#deps.onGood?.(this.#set, this.#version);
  }

  #pushAll(): void {
    const set = this.#set;
    if (set === undefined || this.#streams.size === 0) return;
    if (this.#encoder.isPrepared(set)) {
      for (const [call, subscription] of this.#streams) this.#push(call, subscription, set);
      return;
    }
    // A set that follows meanwhile is pushed instead.
    void this.#encoder.prepare(set).then(() => {
      if (this.#set === set) this.#pushAll();
    });
  }

  #push(call: DiscoveryCall, subscription: Subscription, set: EndpointSet): void {
    if (!subscription.wantsPush(this.#version)) return;
    call.send({
      version_info: String(this.#version),
      resources: [{ type_url: ASSIGNMENT_TYPE, value: this.#encoder.encode(set) }],
      type_url: ASSIGNMENT_TYPE,
      nonce: subscription.sent(this.#version),
      control_plane: { identifier: 'warmpath' },
    });
    this.#deps.telemetry.endpointsPushed();
  }

  #reportHeld(set: EndpointSet, lost: readonly NodeId[]): void {
    if (this.#held !== undefined && sameEndpoints(this.#held, set)) return;
    this.#held = set;
    this.#deps.log.error(
      { lost },
      'an update would take away most nodes that are still configured; it is held back and Envoy keeps the last ones',
    );
  }
}
