import * as z from 'zod';
import type { Candidate } from '../app/registry/registry-types.ts';
import { type ClusterNode, withReadiness } from './readiness.ts';

const port = z.number().int().min(1).max(65_535);
/** The part of an InferencePool (inference.networking.k8s.io/v1) that is read. */
const poolSchema = z.object({
  spec: z.object({
    appProtocol: z.string().nullish(),
    selector: z.object({ matchLabels: z.record(z.string().min(1).max(317), z.string().max(63)) }),
    targetPorts: z
      .array(z.object({ number: port }))
      .min(1)
      .max(8),
  }),
});
/** The part of a pod that is read; what has another shape is skipped. */
const podSchema = z.object({
  metadata: z.object({
    name: z.string().min(1).max(253),
    namespace: z.string().max(253).nullish(),
    uid: z.string().min(1).max(128),
    labels: z.record(z.string(), z.string()).nullish(),
    /** A Date where the client has parsed it. */
    deletionTimestamp: z.unknown().optional(),
  }),
  spec: z.object({ nodeName: z.string().max(253).nullish() }).nullish(),
  status: z.object({
    phase: z.string().nullish(),
    podIP: z.string().max(64).nullish(),
    conditions: z.array(z.object({ type: z.string(), status: z.string() })).nullish(),
  }),
});
type Pod = z.output<typeof podSchema>;

/** Which pods are members of a pool, and where they are reached. */
export interface InferencePool {
  /** `key=value,key=value`, in a fixed order. */
  readonly selector: string;
  readonly ports: readonly number[];
}

/** Long pod names are cut so that the port still stands in the node's name. */
const MAX_POD_NAME = 58;
const ZONE_LABEL = 'topology.kubernetes.io/zone';

/** The pool, or why its pods cannot be nodes. */
export function readPool(raw: unknown, name: string): InferencePool | { readonly problem: string } {
  if (raw === undefined) return { problem: `there is no InferencePool ${name}` };
  const pool = poolSchema.safeParse(raw).data;
  const labels = Object.entries(pool?.spec.selector.matchLabels ?? {});
  // No label would mean every pod of the namespace.
  if (pool === undefined || labels.length === 0)
    return { problem: `InferencePool ${name} has no spec.selector.matchLabels or no spec.targetPorts` };
  const { appProtocol, targetPorts } = pool.spec;
  if (appProtocol !== undefined && appProtocol !== null && appProtocol !== 'http') {
    return {
      problem: `InferencePool ${name} asks for appProtocol ${appProtocol.slice(0, 64)}, but Ollama speaks HTTP/1.1 only; set its appProtocol to http`,
    };
  }
  const selector = labels.map(([key, value]) => `${key}=${value}`).sort();
  return { selector: selector.join(','), ports: [...new Set(targetPorts.map(({ number }) => number))] };
}

/** Every `podIP:port` of a pool's pods. What it says of a pod is the same for every pool that has it. */
export function poolCandidates(pods: readonly unknown[], ports: readonly number[]): Candidate[] {
  const nodes: ClusterNode[] = [];
  for (const raw of pods) {
    const pod = podSchema.safeParse(raw).data;
    const ip = pod?.status.podIP;
    // A pod that has ended keeps its address for a while, though nobody is there any more.
    if (pod === undefined || !ip || pod.status.phase === 'Failed' || pod.status.phase === 'Succeeded')
      continue;
    for (const number of ports) {
      const candidate = candidateOf(pod, ip, number, ports.length > 1);
      nodes.push({ candidate, isReady: isReady(pod), isTerminating: isTerminating(pod) });
    }
  }
  return withReadiness(nodes);
}

function isTerminating({ metadata }: Pod): boolean {
  return metadata.deletionTimestamp !== undefined && metadata.deletionTimestamp !== null;
}

function isReady({ status }: Pod): boolean {
  return status.conditions?.some(({ type, status: value }) => type === 'Ready' && value === 'True') ?? false;
}

function candidateOf(
  { metadata, spec }: Pod,
  host: string,
  port: number,
  isOneOfSeveral: boolean,
): Candidate {
  const { name, uid, namespace, labels } = metadata;
  const shown = { namespace, pod: name, machine: spec?.nodeName, zone: labels?.[ZONE_LABEL] };
  return {
    name: isOneOfSeveral ? `${name.slice(0, MAX_POD_NAME)}-${port}` : name,
    url: { scheme: 'http', host, port },
    source: 'kubernetes',
    identity: `pod:${uid}:${port}`,
    labels: Object.fromEntries(
      Object.entries(shown).flatMap(([key, value]): [string, string][] =>
        typeof value === 'string' ? [[key, value]] : [],
      ),
    ),
  };
}
