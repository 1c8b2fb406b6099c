import { dirname, resolve } from 'node:path';
import { expandVariables } from '../config/expand.ts';
import { readBounded } from '../config/read-bounded.ts';
import { readSecret, TOKEN_RULE } from '../config/read-secret.ts';
import { asRecord } from '../config/section-context.ts';
import { parseYaml } from '../config/yaml-document.ts';
import { AdminAddressError } from './admin-url.ts';
import type { Io } from './io.ts';

const MAX_FILE_BYTES = 1024 * 1024;

/** What proves to a running Warmpath that a change is wanted by its operator; undefined: none is set here. */
export async function adminToken(
  flags: { readonly config?: string },
  env: Io['env'],
): Promise<string | undefined> {
  const given = env.WARMPATH_ADMIN_TOKEN?.trim();
  if (given) return given;
  const named = env.WARMPATH_ADMIN_TOKEN_FILE?.trim();
  if (named) return read(resolve(named));
  const file = flags.config ?? (env.WARMPATH_CONFIG?.trim() || undefined);
  return file === undefined ? undefined : tokenIn(resolve(file), env);
}

/** Only this one setting: a file that is otherwise wrong must not stand in the way. */
async function tokenIn(file: string, env: Io['env']): Promise<string | undefined> {
  const text = await readBounded(file, MAX_FILE_BYTES).catch(() => '');
  const { adminToken: token, adminTokenFile: tokenFile } = asRecord(parseYaml(text).value);
  if (typeof tokenFile === 'string') return read(resolve(dirname(file), tokenFile));
  if (typeof token !== 'string') return undefined;
  return expandVariables(token, env, (message) => {
    throw new AdminAddressError(`adminToken in ${file}: ${message}`);
  });
}

async function read(path: string): Promise<string> {
  const result = await readSecret(path, TOKEN_RULE);
  if ('secret' in result) return result.secret;
  throw new AdminAddressError(`the admin token in ${path}: ${result.problem}`);
}
