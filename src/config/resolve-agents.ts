import { keyPairProblem } from './certificates.ts';
import { type SecretRule, secretOf } from './read-secret.ts';
import { GUARD_TOKEN } from './schema-values.ts';
import { asRecord, type SectionContext } from './section-context.ts';

/** Tokens that let somebody in: too long to be guessed. */
export const GUARD_TOKEN_RULE: SecretRule = {
  pattern: GUARD_TOKEN,
  what: 'one token of 16 or more visible ASCII characters',
};

export interface ResolvedAgents {
  readonly joinToken: string | undefined;
  /** Absolute, both or none. */
  readonly tlsCert: string | undefined;
  readonly tlsKey: string | undefined;
}

/** Reads the agents' section together with its files. Only to be used where there are no problems. */
export async function resolveAgents(raw: unknown, context: SectionContext): Promise<ResolvedAgents> {
  const fields = asRecord(raw);
  const fail = (key: string, message: string): void => context.fail(['agents', key], message);
  const joinToken = await secretOf(fields, ['agents'], 'joinToken', GUARD_TOKEN_RULE, context);
  const tokenKey = ['joinToken', 'joinTokenFile'].find((key) => fields[key] !== undefined);
  if (fields.listen !== undefined && tokenKey === undefined) {
    fail(
      'listen',
      'needs a "joinToken" (WARMPATH_JOIN_TOKEN) or "joinTokenFile": without one anybody could join as a node',
    );
  }
  // The variable may be meant for an agent on the same machine.
  if (fields.listen === undefined && tokenKey !== undefined && !context.isOverridden(['agents', tokenKey])) {
    fail(tokenKey, 'means nothing without "listen", where agents report to');
  }
  const [tlsCert, tlsKey] = [context.pathOf(fields.tlsCert), context.pathOf(fields.tlsKey)];
  if (tlsCert !== undefined && tlsKey !== undefined) {
    const problem = await keyPairProblem(context.noteFile(tlsCert), context.noteFile(tlsKey));
    if (problem !== undefined) fail(problem.at === 'cert' ? 'tlsCert' : 'tlsKey', problem.message);
  } else if (tlsCert !== undefined) fail('tlsCert', 'needs its private key in "tlsKey"');
  else if (tlsKey !== undefined) fail('tlsKey', 'needs its certificate in "tlsCert"');
  return { joinToken, tlsCert, tlsKey };
}
