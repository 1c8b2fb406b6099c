import type { Candidate } from '../app/registry/registry-types.ts';

/** A node that the cluster names, and what it says of the pod. */
export interface ClusterNode {
  readonly candidate: Candidate;
  readonly isReady: boolean;
  readonly isTerminating: boolean;
}

/**
 * What the cluster's word on readiness means: a pod that is not ready or ends stays a node, drained, so that what is
 * known of it is not lost when it comes back. Where no pod at all is ready, the readiness check is wrong more likely
 * than all nodes: then only those that end are drained. Whether a node answers is for the polls to say.
 * Pods on their machine's network follow one another at one address: there the one that stays is the node.
 */
export function withReadiness(nodes: readonly ClusterNode[]): Candidate[] {
  const staying = nodes.filter(({ isTerminating }) => !isTerminating);
  const isAnyReady = staying.some(({ isReady }) => isReady);
  const places = new Set(staying.map(placeOf));
  return nodes
    .filter((node) => !node.isTerminating || !places.has(placeOf(node)))
    .map(({ candidate, isReady, isTerminating }) =>
      isTerminating || (isAnyReady && !isReady) ? { ...candidate, settings: { drain: true } } : candidate,
    );
}

function placeOf({ candidate: { url } }: ClusterNode): string {
  return `${url.host}:${url.port}`;
}
