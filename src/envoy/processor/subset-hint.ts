import type { ProcessingRequest } from '../gen/envoy/service/ext_proc/v3/external_processor.ts';
import { structStrings } from '../grpc/well-known.ts';
import { METADATA } from '../names.ts';
import { endpointAddress } from './endpoint-address.ts';

/** `none`: the proxy names endpoints, but none that can be one. The request must be refused then, not routed elsewhere. */
export type SubsetHint = { readonly among: ReadonlySet<string> } | { readonly none: true };

/** Entries that are looked at, garbage included. */
const MAX_ENTRIES = 10_000;
const MAX_ENTRY_CHARS = 64;
const MAX_CHARS = MAX_ENTRIES * (MAX_ENTRY_CHARS + 1);
const NONE: SubsetHint = { none: true };

/**
 * The endpoints that the proxy allows for this request, as RouteRequest.among wants them: a list, or one string with commas, of
 * `ip:port` or `ip` for every port. Undefined: it says nothing, and any node will do. Equal hints mostly give the same set.
 */
export function subsetHint({ metadata_context }: ProcessingRequest): SubsetHint | undefined {
  const namespace = metadata_context?.filter_metadata?.[METADATA.subsetHint];
  const said = structStrings(namespace, METADATA.subset, MAX_ENTRIES);
  if (said === undefined) return undefined;
  const known = remembered.find((hint) => isSame(hint.said, said));
  if (known !== undefined) return known.meant;
  const among = new Set<string>();
  for (const entry of entriesOf(said)) {
    const address = entry.length > MAX_ENTRY_CHARS ? undefined : endpointAddress(entry);
    if (address !== undefined) among.add(address);
  }
  const meant = among.size === 0 ? NONE : { among };
  remember(said, meant);
  return meant;
}

function* entriesOf(said: readonly string[]): Iterable<string> {
  let left = MAX_ENTRIES;
  for (const text of said) {
    for (let from = 0; from <= Math.min(text.length, MAX_CHARS); left -= 1) {
      if (left === 0) return;
      const comma = text.indexOf(',', from);
      const until = comma < 0 ? text.length : comma;
      yield text.slice(from, until);
      from = until + 1;
    }
  }
}

/** What was read of the last hints: a proxy writes the endpoints of its few pools into every request. Nobody may change them. */
const remembered: { readonly said: readonly string[]; readonly meant: SubsetHint }[] = [];
const MAX_REMEMBERED = 8;

function remember(said: readonly string[], meant: SubsetHint): void {
  if (said.reduce((chars, text) => chars + text.length, 0) > MAX_CHARS) return;
  remembered.unshift({ said, meant });
  remembered.length = Math.min(remembered.length, MAX_REMEMBERED);
}

function isSame(one: readonly string[], other: readonly string[]): boolean {
  if (one.length !== other.length) return false;
  for (let i = 0; i < one.length; i += 1) if (one[i] !== other[i]) return false;
  return true;
}
