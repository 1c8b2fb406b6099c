import { NO_USAGE } from '../../../src/app/no-usage.ts';
import type { Outcome } from '../../../src/app/types.ts';

/** Address of the node with that number. */
export function address(index: number): string {
  return `10.0.0.${index}:11434`;
}

/** A complete answer of 200 from the first node, unless told otherwise. */
export function anOutcome(fields: Partial<Outcome> = {}): Outcome {
  return {
    decisionId: 'd1',
    path: '/api/chat',
    method: 'POST',
    status: 200,
    details: 'via_upstream',
    flags: [],
    address: address(1),
    attempts: 1,
    firstByteMs: 120,
    totalMs: 900,
    requestBytes: 300,
    responseBytes: 2_000,
    end: 'complete',
    usage: NO_USAGE,
    ...fields,
  };
}
