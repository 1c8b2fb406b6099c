import type { ClientConfig } from './config.ts';
import { secretOf } from './read-secret.ts';
import { GUARD_TOKEN_RULE } from './resolve-agents.ts';
import type { Settings } from './schema.ts';
import { asRecord, type SectionContext } from './section-context.ts';

/** Reads the keys of all clients, from their files where they name one; by the client's place in the list. */
export async function resolveClientKeys(
  raw: unknown,
  context: SectionContext,
): Promise<readonly (string | undefined)[]> {
  if (!Array.isArray(raw)) return [];
  const keys: (string | undefined)[] = [];
  const names = new Map<unknown, number>();
  for (const [index, entry] of raw.entries()) {
    const at = ['clients', index];
    const fields = asRecord(entry);
    const key = await secretOf(fields, at, 'key', GUARD_TOKEN_RULE, context);
    if (typeof entry === 'object' && fields.key === undefined && fields.keyFile === undefined)
      context.fail(at, 'needs a "key" or "keyFile": the bearer token by which the client is known');
    const twin = key === undefined ? -1 : keys.indexOf(key);
    if (twin >= 0) context.fail(at, `has the key of clients.${twin}; each client has its own`);
    const namesake = names.get(fields.name);
    if (namesake !== undefined) context.fail([...at, 'name'], `is the name of clients.${namesake}`);
    else if (fields.name !== undefined) names.set(fields.name, index);
    keys.push(key);
  }
  return keys;
}

/** Only to be used where there are no problems: then every client has a key. */
export function toClients(
  clients: Settings['clients'],
  keys: readonly (string | undefined)[],
): ClientConfig[] {
  return clients.map(({ keyFile: _, ...client }, index) => ({ ...client, key: keys[index] ?? '' }));
}
