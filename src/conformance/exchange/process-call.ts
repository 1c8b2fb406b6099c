import { Unmet } from '../case.ts';
import type { Call, Ending } from '../grpc/call.ts';
import { PROCESS, type ProcessingRequest, type ProcessingResponse } from '../grpc/messages.ts';

export type Heard =
  | { readonly kind: 'response'; readonly response: ProcessingResponse }
  | { readonly kind: 'over'; readonly ending: Ending }
  | { readonly kind: 'silence'; readonly ms: number };

/** One ext_proc stream. */
export class ProcessCall {
  readonly raw: Call;

  constructor(raw: Call) {
    this.raw = raw;
  }

  send(message: ProcessingRequest): void {
    this.raw.write(PROCESS.write(message));
  }

  /** Throws `Unmet` where the picker sends what is no ProcessingResponse. */
  async next(timeoutMs: number): Promise<Heard> {
    const event = await this.raw.next(timeoutMs);
    if (event.kind !== 'message') return event;
    try {
      return { kind: 'response', response: PROCESS.read(event.message) };
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error);
      throw new Unmet('a ProcessingResponse', `${event.message.length} bytes that are none (${problem})`);
    }
  }
}
