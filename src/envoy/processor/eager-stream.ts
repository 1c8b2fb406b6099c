import type { ProcessingRequest } from '../gen/envoy/service/ext_proc/v3/external_processor.ts';
import { DuplexStream } from './duplex-stream.ts';

/** A proxy that has so much of a body unanswered may read no more of it: Envoy Gateway's buffer, the smallest that is known. */
const MAX_HELD_BYTES = 32 * 1024;

/**
 * A request in STREAMED mode whose body comes before its headers are answered: that answer is withheld while all of the body comes.
 * The proxy keeps each piece until it is answered, and takes one answer for each.
 */
export class EagerStream extends DuplexStream {
  #unanswered = 0;

  override receive(message: ProcessingRequest): void {
    if (message.request_body) this.#unanswered += 1;
    super.receive(message);
  }

  /** What may be too long for the proxy to wait for its end would wait for ever. */
  protected override mayHold(): boolean {
    const length = this.head?.contentLength;
    return length !== undefined && length <= MAX_HELD_BYTES;
  }

  protected override holds(ms: number): void {
    this.call.send(this.shared.replies.hold(ms));
  }

  /** The first piece becomes all of a changed body, and the others nothing. */
  protected override sendPieces(bytes: Uint8Array, _isLast: boolean, isChanged: boolean): void {
    for (let i = 0; i < this.#unanswered; i++) {
      const body_mutation = i === 0 ? { body: bytes } : { clear_body: true };
      this.call.send({ request_body: { response: isChanged ? { body_mutation } : {} } });
    }
    this.#unanswered = 0;
  }
}
