import type { NodeView } from '../../fleet/types.ts';
import { first } from './fit.ts';
import type { RivalPolicy } from './types.ts';

/**
 * The node with the fewest running requests; among equals the one with the lowest port (then the lowest name, where all
 * listen on the same port): DCGM's ollama_proxy. Olla's `least-connections` and nginx's `least_conn` are the same but for the tie.
 */
export function leastInFlight(): RivalPolicy {
  return {
    name: 'least-in-flight',
    queue: 'node',
    choose: (_request, situation) => {
      let best = first(situation);
      let fewest = situation.inflight.onNode(best.id);
      for (const node of situation.fit) {
        const running = situation.inflight.onNode(node.id);
        if (running > fewest || (running === fewest && !comesBefore(node, best))) continue;
        best = node;
        fewest = running;
      }
      return best.id;
    },
  };
}

function comesBefore(a: NodeView, b: NodeView): boolean {
  const [portA, portB] = [port(a), port(b)];
  return portA === portB ? a.id < b.id : portA < portB;
}

/** A node without an address comes last. */
function port({ address }: NodeView): number {
  return address === undefined ? 65_536 : Number(address.slice(address.lastIndexOf(':') + 1));
}
