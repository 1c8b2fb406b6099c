import type { NodeSpec } from '../../fleet/types.ts';
import { type Entry, identityKey, placeOf } from './registry-entry.ts';
import type { NodeTable } from './registry-table.ts';
import { type Candidate, NodeAdminError } from './registry-types.ts';

/** The configured node that an agent speaks for, if it does. Throws NodeAdminError where it may not. */
export function configuredFor(
  table: NodeTable,
  candidate: Candidate,
  ownerOf: (id: string) => string | undefined,
): NodeSpec | undefined {
  const wanted = table.wantedName(candidate);
  const place = placeOf(candidate.url);
  const spec = table.configuredNode(wanted);
  if (spec === undefined) {
    const other = table.configured.find(({ url }) => placeOf(url) === place);
    if (other === undefined) return undefined;
    throw new NodeAdminError(
      'conflict',
      `${place} is the address of the configured node ${other.id}; run the agent with --node ${other.id}`,
    );
  }
  if (placeOf(spec.url) !== place) {
    throw new NodeAdminError(
      'conflict',
      `the configuration has another address for ${spec.id} (${placeOf(spec.url)}); give the agent that URL or another name`,
    );
  }
  const owner = ownerOf(spec.id);
  if (owner !== undefined && owner !== candidate.identity)
    throw new NodeAdminError('conflict', `the name ${spec.id} belongs to another agent's key`);
  return spec;
}

/** What is known of a joining agent. Throws NodeAdminError where its name or its past forbid it to join. */
export function knownAgent(table: NodeTable, candidate: Candidate): Entry | undefined {
  const known = table.entries.get(identityKey(candidate));
  if (known?.state === 'removed') {
    throw new NodeAdminError(
      'refused',
      `an operator removed ${known.id}; to let it back: warmpath nodes approve ${known.id}`,
    );
  }
  const holder = table.byId(table.wantedName(candidate));
  if (holder === undefined || holder === known) return known;
  const isMere = holder.state === 'candidate' && holder.decision === undefined;
  if (!isMere || holder.latest.source === 'agent') {
    throw new NodeAdminError(
      'conflict',
      `the name ${holder.id} belongs to another node; choose another, or first: warmpath nodes remove ${holder.id}`,
    );
  }
  // A proven identity takes a name from a mere candidate, from nobody else.
  table.rename(holder, table.otherName(holder));
  return known;
}
