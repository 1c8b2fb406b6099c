import { lowest } from './fit.ts';
import type { RivalPolicy } from './types.ts';

/**
 * The node whose answers took the least time of late, whatever it was asked; one that has not answered yet is tried first.
 * LiteLLM's `latency-based-routing`, and what home-made routers do that order their nodes by response time.
 */
export function fastestResponse(): RivalPolicy {
  return {
    name: 'fastest-response',
    queue: 'node',
    choose: (_request, situation) => lowest(situation, (node) => situation.responseMs(node.id) ?? 0).id,
  };
}
