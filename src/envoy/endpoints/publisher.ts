import type { Log } from '../../app/log.ts';
import type { EnvoyTelemetry } from '../../app/telemetry-port.ts';
import type { EndpointSet } from '../../app/types.ts';
import type { NodeId } from '../../fleet/types.ts';
import type { DiscoveryRequest, DiscoveryResponse } from '../gen/envoy/service/discovery/v3/discovery.ts';
import type { GrpcCall } from '../grpc/call.ts';
import { loadService } from '../grpc/load-proto.ts';
import type { GrpcService } from '../grpc/service.ts';
import { STATUS } from '../grpc/status.ts';
import { ASSIGNMENT_TYPE, assignment } from './assignment.ts';
import { judgeShrink } from './shrink-guard.ts';
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
  #fingerprint = '';
  #heldFingerprint = '';
  #lastRejection: string | undefined;

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

  /** Starts from what a predecessor published: the shrink guard then protects that set, and versions go on. */
  restore(set: EndpointSet, version: number): void {
    if (this.#set !== undefined) return;
    this.#set = set;
    this.#good = set;
    this.#fingerprint = JSON.stringify(set.endpoints);
    this.#version = version;
    this.#pushAll();
  }

  /** `configured`: every node that the configuration names now; those missing from the set are missing by accident. */
  publish(set: EndpointSet, configured: ReadonlySet<NodeId>): PublishResult {
    const fingerprint = JSON.stringify(set.endpoints);
    if (this.#set !== undefined && fingerprint === this.#fingerprint) {
      this.#heldFingerprint = '';
      return 'unchanged';
    }
    if (this.#set !== undefined) {
      const verdict = judgeShrink(this.#set, set, configured);
      if (verdict.kind === 'hold') {
        this.#reportHeld(fingerprint, verdict.lost);
        return 'held';
      }
    } else if (set.endpoints.length === 0 && configured.size > 0) {
      // Nothing is known yet: an Envoy that still has its nodes keeps them.
      return 'held';
    }
    this.#set = set;
    this.#fingerprint = fingerprint;
    this.#heldFingerprint = '';
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
        this.#push(call, subscription);
        break;
      case 'rejected':
        this.#lastRejection = news.message;
        this.#deps.telemetry.endpointsRejected();
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
    for (const [call, subscription] of this.#streams) this.#push(call, subscription);
  }

  #push(call: DiscoveryCall, subscription: Subscription): void {
    if (this.#set === undefined || !subscription.wantsPush(this.#version)) return;
    call.send({
      version_info: String(this.#version),
      // proto-loader packs an Any by its `@type`; the generated type describes it packed.
      resources: [{ '@type': ASSIGNMENT_TYPE, ...assignment(this.#set) }] as object[],
      type_url: ASSIGNMENT_TYPE,
      nonce: subscription.sent(this.#version),
      control_plane: { identifier: 'warmpath' },
    });
    this.#deps.telemetry.endpointsPushed();
  }

  #reportHeld(fingerprint: string, lost: readonly NodeId[]): void {
    if (fingerprint === this.#heldFingerprint) return;
    this.#heldFingerprint = fingerprint;
    this.#deps.log.error(
      { lost },
      'an update would take away most nodes that are still configured; it is held back and Envoy keeps the last ones',
    );
  }
}
