import type { Client, ClientDuplexStream } from '@grpc/grpc-js';
import { ASSIGNMENT_TYPE } from '../../../../src/envoy/endpoints/assignment.ts';
import type {
  DiscoveryRequest,
  DiscoveryResponse,
} from '../../../../src/envoy/gen/envoy/service/discovery/v3/discovery.ts';
import { Inbox } from '../grpc/harness.ts';

/** An Envoy that subscribes. */
export class Subscriber {
  readonly call: ClientDuplexStream<DiscoveryRequest, DiscoveryResponse>;
  readonly inbox: Inbox<DiscoveryResponse>;

  /** `client`: of the publisher's service. */
  constructor(client: Client, first: Partial<DiscoveryRequest> = {}) {
    type Open = (this: Client) => ClientDuplexStream<DiscoveryRequest, DiscoveryResponse>;
    const method: unknown = Reflect.get(client, 'StreamEndpoints');
    this.call = (method as Open).call(client); // sound: the definition declares this method
    this.inbox = new Inbox<DiscoveryResponse>(this.call);
    this.send(first);
  }

  send(more: Partial<DiscoveryRequest>): void {
    this.call.write({ resource_names: ['nodes'], type_url: ASSIGNMENT_TYPE, ...more });
  }

  answer(response: DiscoveryResponse, error?: string): void {
    this.send({
      version_info: response.version_info,
      response_nonce: response.nonce,
      ...(error === undefined ? {} : { error_detail: { code: 13, message: error } }),
    });
  }
}
