import { randomUUID } from 'node:crypto';
import { chmod, link, mkdir, open, readFile, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type AgentKey, agentKeyPem, generateAgentKey, parseAgentKey } from '../app/agents/agent-protocol.ts';

/** The key cannot be used; the message says what to do. */
export class KeyFileError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'KeyFileError';
  }
}

/** The key in this file; made and kept there, for its owner alone, where there is none yet. */
export async function loadKey(path: string): Promise<AgentKey> {
  const kept = await readKey(path);
  if (kept !== undefined) return kept;
  const key = generateAgentKey();
  const draft = `${path}.${randomUUID()}.new`;
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    const file = await open(draft, 'wx', 0o600);
    try {
      await file.writeFile(agentKeyPem(key));
      await file.sync();
    } finally {
      await file.close();
    }
    // Whole or not at all, and never over a key that is there.
    await link(draft, path).finally(() => rm(draft, { force: true }));
    return key;
  } catch (error) {
    // Another agent of the same name was first.
    const other = codeOf(error) === 'EEXIST' ? await readKey(path) : undefined;
    if (other !== undefined) return other;
    throw new KeyFileError(
      `the key ${path} cannot be written (${codeOf(error) ?? 'no reason known'}): name a directory of the agent's own with --state-dir`,
      error,
    );
  }
}

async function readKey(path: string): Promise<AgentKey | undefined> {
  let text: string;
  try {
    // Whoever can read the key can report as this node.
    const { mode } = await stat(path);
    if ((mode & 0o077) !== 0 && process.platform !== 'win32') await chmod(path, 0o600);
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw new KeyFileError(
      `the key ${path} cannot be read (${codeOf(error) ?? 'no reason known'}): run the agent as its owner, or name another --state-dir`,
      error,
    );
  }
  const key = parseAgentKey(text);
  if (key !== undefined) return key;
  throw new KeyFileError(
    `${path} holds no Ed25519 key: restore it, or move it away to get a new one (the control plane then has to forget this node first: warmpath nodes remove NAME)`,
  );
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined;
}
