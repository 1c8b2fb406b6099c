import { certificateProblem } from './certificates.ts';
import { expandVariables } from './expand.ts';
import type { Environment } from './overrides.ts';
import { type SecretRule, secretOf } from './read-secret.ts';
import { parseRedisUrl, type RedisUrl } from './redis-url.ts';
import { asRecord, type SectionContext } from './section-context.ts';

const PASSWORD_RULE: SecretRule = {
  pattern: /^[^\r\n\0]{1,4096}$/,
  what: 'one password on one line',
};

/** What the section says once its parts are read together. */
export interface ResolvedStore {
  readonly kind: 'memory' | 'redis';
  /** Without user and password. */
  readonly url: string | undefined;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly tls: boolean;
  /** Absolute. */
  readonly tlsCa: string | undefined;
}

/** Works out what kind of store is meant and with which secrets. Only to be used where there are no problems. */
export async function resolveStore(
  raw: unknown,
  env: Environment,
  context: SectionContext,
): Promise<ResolvedStore> {
  const fields = asRecord(raw);
  const fail = (key: string, message: string): void => context.fail(['store', key], message);
  const address = typeof fields.url === 'string' ? readUrl(fields.url, env, context) : undefined;
  const given = ['url', 'sentinels', 'clusterNodes'].filter((key) => isGiven(fields[key]));
  const [first, ...others] = given;
  for (const other of others) fail(other, `stands beside "${first}"; give one of them`);
  for (const key of ['sentinels', 'clusterNodes']) noteTwice(fields[key], key, fail);
  if (fields.kind === 'redis' && first === undefined) {
    fail('kind', 'is redis, but nothing says where; give "url", "sentinels" or "clusterNodes"');
  }
  if (fields.kind === 'memory' && first !== undefined) {
    fail('kind', `is memory beside "${first}", which means redis; give one of them`);
  }
  const password = await secretOf(fields, ['store'], 'password', PASSWORD_RULE, context);
  for (const key of ['username', 'password'] as const) {
    const file = key === 'password' && fields.passwordFile !== undefined;
    if (address?.[key] === undefined || (fields[key] === undefined && !file)) continue;
    fail(file ? 'passwordFile' : key, `stands beside the ${key} in "url"; give one of them`);
  }
  if (fields.tls === false && address?.isTls) fail('tls', 'is false, but "url" says rediss, which is TLS');
  const tls = address?.isTls === true || fields.tls === true;
  const tlsCa = context.pathOf(fields.tlsCa);
  if (tlsCa !== undefined) {
    if (!tls) fail('tlsCa', 'means something with TLS only: write rediss:// in "url", or "tls: true"');
    const problem = await certificateProblem(context.noteFile(tlsCa));
    if (problem !== undefined) fail('tlsCa', problem);
  }
  return {
    kind: first === undefined ? 'memory' : 'redis',
    url: tls ? address?.url.replace(/^redis:/, 'rediss:') : address?.url,
    username: address?.username ?? (typeof fields.username === 'string' ? fields.username : undefined),
    password: address?.password ?? password,
    tls,
    tlsCa,
  };
}

/** `${VAR}` may stand for a password that no URL could hold as it is: it is replaced after parsing. */
function readUrl(text: string, env: Environment, context: SectionContext): RedisUrl | undefined {
  const path = ['store', 'url'];
  const result = parseRedisUrl(text);
  if ('problem' in result) {
    context.fail(path, result.problem);
    return undefined;
  }
  if (context.isOverridden(path)) return result;
  const expand = (value: string | undefined): string | undefined =>
    value === undefined ? undefined : expandVariables(value, env, (message) => context.fail(path, message));
  return { ...result, username: expand(result.username), password: expand(result.password) };
}

function isGiven(value: unknown): boolean {
  return Array.isArray(value) ? value.length > 0 : value !== undefined;
}

function noteTwice(list: unknown, key: string, fail: (key: string, message: string) => void): void {
  if (!Array.isArray(list)) return;
  const seen = new Set<string>();
  for (const entry of list) {
    const { host, port } = asRecord(entry);
    const name = `${String(host).toLowerCase()}:${port}`;
    if (seen.has(name)) fail(key, `names ${name.slice(0, 80)} twice`);
    seen.add(name);
  }
}
