import type { RouteRequest } from '../../request/types.ts';
import { lowest } from './fit.ts';
import type { RivalPolicy, RivalSituation } from './types.ts';

/** How far above the mean load a node may be and still be given more: the default of KubeAI. */
const MEAN_LOAD_FACTOR = 1.25;

/**
 * One node for each conversation, whatever is in memory where: the hash of the prompt's beginning decides, unless that node
 * carries more than its share, then the next by hash. KubeAI's `PrefixHash` (consistent hashing with bounded loads) and
 * Olla's `prefix_hash` sessions. By highest random weight instead of a ring of virtual nodes: the same moves when nodes come
 * and go, and nothing to keep.
 */
export function prefixHash(): RivalPolicy {
  return {
    name: 'prefix-hash',
    queue: 'node',
    choose: (request, situation) => {
      const key = hash(request.model.key, conversation(request));
      const most = fairShare(situation);
      return lowest(situation, (node) =>
        situation.inflight.onNode(node.id) + 1 > most ? undefined : -hash(node.id, key),
      ).id;
    },
  };
}

/** Most requests that a node may run, the one at hand included. */
function fairShare({ fit, inflight }: RivalSituation): number {
  const running = fit.reduce((sum, { id }) => sum + inflight.onNode(id), 0);
  return Math.ceil(((running + 1) / fit.length) * MEAN_LOAD_FACTOR);
}

/** The first turn stays the beginning of all later ones; before there is any, the system prompt; without both, the body. */
function conversation({ prefixes, fingerprint }: RouteRequest): number {
  return (prefixes[1] ?? prefixes[0])?.hash ?? hash(fingerprint, 0);
}

/** FNV-1a over the text, from the seed, with a last stir: 32 bits. */
function hash(text: string, seed: number): number {
  let value = 0x811c9dc5 ^ seed;
  for (let i = 0; i < text.length; i += 1) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return (value ^ (value >>> 16)) >>> 0;
}
