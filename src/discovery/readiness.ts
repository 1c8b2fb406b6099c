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
 */
export function withReadiness(nodes: readonly ClusterNode[]): Candidate[] {
  const isAnyReady = nodes.some(({ isReady, isTerminating }) => isReady && !isTerminating);
  return nodes.map(({ candidate, isReady, isTerminating }) =>
    isTerminating || (isAnyReady && !isReady) ? { ...candidate, settings: { drain: true } } : candidate,
  );
}
