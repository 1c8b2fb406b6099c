import * as z from 'zod';
import type { Candidate } from '../app/registry/registry-types.ts';
import { type ClusterNode, withReadiness } from './readiness.ts';

const DEFAULT_PORT = 11_434;

/** The part of an EndpointSlice that is read; what has another shape is skipped. */
const sliceSchema = z.object({
  metadata: z.object({ namespace: z.string().optional() }).optional(),
  addressType: z.enum(['IPv4', 'IPv6']),
  ports: z
    .array(
      z.object({
        name: z.string().nullish(),
        port: z.number().int().min(1).max(65_535).nullish(),
        appProtocol: z.string().nullish(),
      }),
    )
    .nullish(),
  endpoints: z
    .array(
      z.object({
        addresses: z.array(z.string().max(64)).min(1),
        conditions: z.object({ ready: z.boolean().nullish(), terminating: z.boolean().nullish() }).nullish(),
        nodeName: z.string().max(253).nullish(),
        zone: z.string().max(253).nullish(),
        targetRef: z
          .object({
            kind: z.string().nullish(),
            name: z.string().max(253).nullish(),
            uid: z.string().max(128).nullish(),
          })
          .nullish(),
      }),
    )
    .nullish(),
});
type Slice = z.output<typeof sliceSchema>;
type Endpoint = NonNullable<Slice['endpoints']>[number];

/** The nodes behind EndpointSlices. */
export function candidatesOf(slices: readonly unknown[], port: number | undefined): Candidate[] {
  const found = new Map<string, ClusterNode>();
  for (const raw of slices) {
    const slice = sliceSchema.safeParse(raw).data;
    if (slice === undefined) continue;
    const place = portOf(slice, port);
    if (place === undefined) continue;
    for (const endpoint of slice.endpoints ?? []) {
      const candidate = candidateOf(endpoint, place, slice.metadata?.namespace);
      const key = candidate.identity ?? `${candidate.url.host}:${candidate.url.port}`;
      const known = found.get(key);
      // A pod with both families is one node; IPv4 first, as everywhere. While a slice is split, one pod may be in two.
      const isBetter =
        known === undefined || (slice.addressType === 'IPv4' && known.candidate.url.host.includes(':'));
      if (!isBetter) continue;
      found.set(key, {
        candidate,
        isReady: endpoint.conditions?.ready ?? true,
        isTerminating: endpoint.conditions?.terminating ?? false,
      });
    }
  }
  return withReadiness([...found.values()]);
}

interface Place {
  readonly scheme: 'http' | 'https';
  readonly port: number;
}

/** The configured port; else the slice's one called ollama or http, or 11434, or the only one. */
function portOf({ ports }: Slice, configured: number | undefined): Place | undefined {
  const open = (ports ?? []).filter(({ port }) => port !== undefined && port !== null);
  const chosen =
    configured === undefined
      ? (open.find(({ name }) => name === 'ollama') ??
        open.find(({ port }) => port === DEFAULT_PORT) ??
        open.find(({ name }) => name === 'http' || name === 'https') ??
        open[0])
      : open.find(({ port }) => port === configured);
  const port = configured ?? chosen?.port;
  if (port === undefined || port === null) return undefined;
  const isTls = chosen?.appProtocol === 'https' || chosen?.name === 'https';
  return { scheme: isTls ? 'https' : 'http', port };
}

function candidateOf(
  { addresses, targetRef, nodeName, zone }: Endpoint,
  { scheme, port }: Place,
  namespace: string | undefined,
): Candidate {
  const isPod = targetRef?.kind === 'Pod' && typeof targetRef.uid === 'string';
  const labels = { namespace, pod: isPod ? targetRef.name : undefined, machine: nodeName, zone };
  return {
    name: targetRef?.name ?? undefined,
    // The addresses of one endpoint are the same machine: the first will do.
    url: { scheme, host: addresses[0] ?? '', port },
    source: 'kubernetes',
    identity: isPod ? `pod:${targetRef.uid}` : undefined,
    labels: Object.fromEntries(
      Object.entries(labels).flatMap(([key, value]): [string, string][] =>
        typeof value === 'string' ? [[key, value]] : [],
      ),
    ),
  };
}
