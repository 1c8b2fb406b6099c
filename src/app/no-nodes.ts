import type { Config } from '../config/config.ts';

type Growth = Pick<Config, 'nodes' | 'discovery' | 'agents' | 'store'>;

/** What to tell the operator where nothing can ever bring a node; undefined where something may, other replicas included. */
export function noNodesWarning({ nodes, discovery, agents, store }: Growth): string | undefined {
  const mayGrow = discovery.sources.length > 0 || agents.listen !== undefined || store.kind !== 'memory';
  if (nodes.length > 0 || mayGrow) return undefined;
  return (
    'no nodes, and nothing that could bring any: every request would be answered 503; name one (--node http://HOST:11434, ' +
    '"nodes" in the configuration), have them found (--discover mdns, or another source), or let agents join (--agents HOST:PORT)'
  );
}
