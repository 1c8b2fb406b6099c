import type { Clock } from '../app/ports.ts';
import { type ErrorShape, errorReply } from './error-replies.ts';
import type { RequestFault } from './faults.ts';
import type { Reply } from './reply.ts';

export interface EarlyFaultContext {
  readonly clock: Clock;
  readonly shape: ErrorShape;
  readonly reply: Reply;
  /** The node dies and comes back. */
  readonly kill: (downMs: number) => void;
}

/** Applies a fault that comes before the request is worked on. True: the request has been dealt with. */
export async function applyEarlyFault(
  fault: RequestFault,
  { clock, shape, reply, kill }: EarlyFaultContext,
  signal: AbortSignal,
): Promise<boolean> {
  switch (fault.kind) {
    case 'hang':
      await untilAborted(signal);
      return true;
    case 'delay':
      await clock.sleep(fault.ms, signal);
      signal.throwIfAborted();
      return false;
    case 'raw':
      reply.raw(fault.bytes, fault.ending);
      return true;
    case 'die':
      reply.breakOff(fault);
      return fault.afterBytes === 0;
    case 'query_of_death':
      kill(fault.downMs);
      return true;
    case 'reply':
      await sendScripted(fault, shape, reply, signal);
      return true;
    default:
      return false;
  }
}

/** Resolves when the client is gone. */
export function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}

async function sendScripted(
  fault: Extract<RequestFault, { kind: 'reply' }>,
  shape: ErrorShape,
  reply: Reply,
  signal: AbortSignal,
): Promise<void> {
  const refusal = errorReply(shape, fault.status, fault.message ?? 'scripted fault');
  const contentType = fault.contentType ?? refusal.contentType;
  if (typeof fault.body !== 'function') {
    reply.send(fault.status, fault.body ?? refusal.body, contentType, { ...fault.headers });
    return;
  }
  reply.begin(fault.status, { 'Content-Type': contentType, ...fault.headers });
  for (const piece of fault.body()) {
    await reply.write(piece);
    if (signal.aborted) return;
  }
  reply.end();
}
