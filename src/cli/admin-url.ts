import { isIP } from 'node:net';
import { resolve } from 'node:path';
import { readBounded } from '../config/read-bounded.ts';
import { parseYaml } from '../config/yaml-document.ts';
import type { Io } from './io.ts';

const DEFAULT = '127.0.0.1:9411';
const MAX_FILE_BYTES = 1024 * 1024;

export interface AdminFlags {
  /** HOST:PORT, or a whole URL where something stands in between. */
  readonly admin?: string;
  readonly config?: string;
}

/** The address given is none. */
export class AdminAddressError extends Error {}

/** URL of the admin server that a command talks to: from the flag, the environment, the config file, else the usual one. */
export async function adminUrl(flags: AdminFlags, env: Io['env']): Promise<string> {
  const given = flags.admin ?? (env.WARMPATH_ADMIN?.trim() || undefined);
  if (given !== undefined) return toUrl(given);
  const file = flags.config ?? (env.WARMPATH_CONFIG?.trim() || undefined);
  return toUrl(file === undefined ? DEFAULT : ((await adminOf(file)) ?? DEFAULT));
}

/** Only this one setting: a file that is otherwise wrong must not hide the state of what runs. */
async function adminOf(file: string): Promise<string | undefined> {
  let text: string;
  try {
    text = await readBounded(resolve(file), MAX_FILE_BYTES);
  } catch (error) {
    const why = error instanceof Error ? error.message : 'cannot be read';
    throw new AdminAddressError(`${file} ${why}`, { cause: error });
  }
  const { value } = parseYaml(text);
  if (typeof value !== 'object' || value === null || !('admin' in value)) return undefined;
  return typeof value.admin === 'string' ? value.admin : undefined;
}

function toUrl(address: string): string {
  const text = address.includes('://') ? address : `http://${withHost(address)}`;
  const url = URL.parse(text);
  if (
    url === null ||
    !/^https?:$/.test(url.protocol) ||
    url.pathname !== '/' ||
    url.search + url.hash !== ''
  ) {
    throw new AdminAddressError(`expected HOST:PORT of a running Warmpath, got "${address}"`);
  }
  // "Every address" is one to listen on, not one to call.
  if (url.hostname === '0.0.0.0') url.hostname = '127.0.0.1';
  if (url.hostname === '[::]') url.hostname = '[::1]';
  return url.origin;
}

/** `:9411` is this machine; a bare IPv6 address lacks its brackets. */
function withHost(address: string): string {
  if (address.startsWith(':') && isIP(address) === 0) return `127.0.0.1${address}`;
  return isIP(address) === 6 ? `[${address}]` : address;
}
