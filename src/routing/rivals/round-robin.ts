import { first } from './fit.ts';
import type { RivalPolicy } from './types.ts';

/** Each node in its turn, by one counter for all models: nginx, Traefik and Olla's `round-robin`. */
export function roundRobin(): RivalPolicy {
  let turn = 0;
  return {
    name: 'round-robin',
    queue: 'node',
    choose: (_request, situation) => {
      const node = situation.fit[turn % situation.fit.length] ?? first(situation);
      turn = (turn + 1) % Number.MAX_SAFE_INTEGER;
      return node.id;
    },
  };
}
