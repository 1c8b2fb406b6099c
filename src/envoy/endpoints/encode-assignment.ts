import { setImmediate } from 'node:timers/promises';
import type { EndpointSet, EnvoyEndpoint } from '../../app/types.ts';
import { loadMessage } from '../grpc/load-proto.ts';
import { lbEndpoint, RESOURCE } from './assignment.ts';

/** Endpoints that are encoded without a pause, a few ms of work: a fleet of thousands must not stop the process. */
const SLICE = 200;
/** Tags of the wire format: field 1 and field 2, both with a length before their content. */
const CLUSTER_NAME = 0x0a;
const ENDPOINTS = 0x12;
const LB_ENDPOINTS = 0x12;

/**
 * Writes ClusterLoadAssignment messages. Encoding an endpoint costs many times what copying it costs, so each is encoded
 * once and then only put together with the others.
 */
export class AssignmentEncoder {
  readonly #serialize = loadMessage(
    'envoy/config/endpoint/v3/endpoint.proto',
    'envoy.config.endpoint.v3.LbEndpoint',
  );
  readonly #encoded = new WeakMap<EnvoyEndpoint, Buffer>();
  #last: { readonly set: EndpointSet; readonly bytes: Buffer } | undefined;

  /** Whether `encode` has little to do. */
  isPrepared(set: EndpointSet): boolean {
    if (set === this.#last?.set || set.endpoints.length <= SLICE) return true;
    let left = SLICE;
    for (const endpoint of set.endpoints) {
      if (this.#encoded.has(endpoint)) continue;
      left -= 1;
      if (left < 0) return false;
    }
    return true;
  }

  /** Does most of the work of `encode`, with pauses for others. */
  async prepare({ endpoints }: EndpointSet): Promise<void> {
    for (let from = 0; from < endpoints.length; from += SLICE) {
      for (const endpoint of endpoints.slice(from, from + SLICE)) this.#one(endpoint);
      await setImmediate();
    }
  }

  /** The message as bytes; the same for the same set. */
  encode(set: EndpointSet): Buffer {
    if (this.#last?.set === set) return this.#last.bytes;
    const parts = set.endpoints.map((endpoint) => this.#one(endpoint));
    const name = field(CLUSTER_NAME, Buffer.from(RESOURCE));
    const bytes = parts.length === 0 ? name : Buffer.concat([name, ...framed(ENDPOINTS, parts)]);
    this.#last = { set, bytes };
    return bytes;
  }

  #one(endpoint: EnvoyEndpoint): Buffer {
    let bytes = this.#encoded.get(endpoint);
    if (bytes === undefined) {
      bytes = field(LB_ENDPOINTS, this.#serialize(lbEndpoint(endpoint)));
      this.#encoded.set(endpoint, bytes);
    }
    return bytes;
  }
}

function field(tag: number, content: Buffer): Buffer {
  return Buffer.concat(framed(tag, [content]));
}

function framed(tag: number, parts: readonly Buffer[]): Buffer[] {
  let length = 0;
  for (const part of parts) length += part.length;
  return [Buffer.from([tag, ...varint(length)]), ...parts];
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 0x7f) {
    bytes.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  bytes.push(rest);
  return bytes;
}
