import type { ProcessingRequest } from '../gen/envoy/service/ext_proc/v3/external_processor.ts';
import { structStrings } from '../grpc/well-known.ts';
import { METADATA } from '../names.ts';
import { endpointAddress } from './endpoint-address.ts';

/** `none`: the proxy names endpoints, but none that can be one. The request must be refused then, not routed elsewhere. */
export type SubsetHint = { readonly among: ReadonlySet<string> } | { readonly none: true };

const MAX_ENTRIES = 10_000;
const MAX_ENTRY_CHARS = 64;
const NONE: SubsetHint = { none: true };

/**
 * The endpoints that the proxy allows for this request, as RouteRequest.among wants them: a list, or one string with commas, of
 * `ip:port` or `ip` for every port. Undefined: it says nothing, and any node will do.
 */
export function subsetHint({ metadata_context }: ProcessingRequest): SubsetHint | undefined {
  const namespace = metadata_context?.filter_metadata?.[METADATA.subsetHint];
  const said = structStrings(namespace, METADATA.subset, MAX_ENTRIES);
  if (said === undefined) return undefined;
  const among = new Set<string>();
  for (const text of said) addAll(text, among);
  return among.size === 0 ? NONE : { among };
}

function addAll(text: string, among: Set<string>): void {
  let from = 0;
  while (from <= text.length && among.size < MAX_ENTRIES) {
    const comma = text.indexOf(',', from);
    const until = comma < 0 ? text.length : comma;
    const address = until - from > MAX_ENTRY_CHARS ? undefined : endpointAddress(text.slice(from, until));
    if (address !== undefined) among.add(address);
    from = until + 1;
  }
}
