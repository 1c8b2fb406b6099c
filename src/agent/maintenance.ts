import { open } from 'node:fs/promises';
import type { AgentReport } from '../app/agents/agent-protocol.ts';

const MAX_NOTE = 128;

/** Maintenance by flag, or by a file that comes and goes while the agent runs. */
export async function readMaintenance(
  byFlag: string | undefined,
  path: string,
): Promise<NonNullable<AgentReport['maintenance']>> {
  if (byFlag !== undefined) return { on: true, note: noteOf(byFlag) };
  try {
    const file = await open(path, 'r');
    try {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(1024), 0, 1024, 0);
      return { on: true, note: noteOf(buffer.toString('utf8', 0, bytesRead)) };
    } finally {
      await file.close();
    }
  } catch (error) {
    // A file that is there and cannot be read says what it says by being there.
    const isMissing =
      error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR');
    return { on: !isMissing, note: '' };
  }
}

function noteOf(text: string): string {
  const [line = ''] = text.split('\n');
  return line
    .replace(/\p{C}+/gu, ' ')
    .trim()
    .slice(0, MAX_NOTE);
}
