import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { freePort } from '../../support/free-port.ts';
import { tempDir } from '../../support/temp-dir.ts';

const MAIN = fileURLToPath(new URL('../../../src/main.ts', import.meta.url));

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** The real control plane, as the supervisor starts it. */
function serving(admin: number, { stateDir = newDir() } = {}): ChildProcess {
  const child = fork(MAIN, ['serve', '--admin', `127.0.0.1:${admin}`, '--state-dir', stateDir], {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    execArgv: [],
  });
  cleanups.push(() => child.kill('SIGKILL'));
  return child;
}

function newDir(): string {
  const dir = tempDir();
  cleanups.push(() => dir.remove());
  return dir.path;
}

/** Somebody else there. */
async function taken(where: { port: number; host: string } | { path: string }): Promise<void> {
  const server = createServer().listen(where);
  await once(server, 'listening');
  cleanups.push(() => server.close());
}

describe('the control plane under its supervisor', () => {
  it('says that it listens, then which nodes it sees, and ends when the supervisor is gone', async () => {
    const child = serving(await freePort());
    const messages: unknown[] = [];
    child.on('message', (message) => messages.push(message));
    while (messages.length < 2) await once(child, 'message');
    expect(messages).toEqual([{ type: 'listening' }, { type: 'fleet', nodes: [] }]);
    child.disconnect();
    expect(await once(child, 'exit')).toEqual([0, null]);
  });

  it('that finds its admin port taken says so in one line and ends', async () => {
    const port = await freePort();
    await taken({ port, host: '127.0.0.1' });
    const child = serving(port);
    expect(await ended(child)).toEqual({
      code: 1,
      said: `warmpath: admin port ${port} is taken: stop what listens there, or use --admin 127.0.0.1:${port + 1}\n`,
    });
  });

  it('that finds its socket taken says so in one line and ends, though its admin port is open by then', async () => {
    const stateDir = newDir();
    const path = join(stateDir, 'grpc.sock');
    await taken({ path });
    const child = serving(await freePort(), { stateDir });
    expect(await ended(child)).toEqual({
      code: 1,
      said: `warmpath: another process listens on ${path}; stop it or choose another path\n`,
    });
  });
});

/** How it ended, and all that it wrote. */
async function ended(child: ChildProcess): Promise<{ code: unknown; said: string }> {
  const { stdout, stderr } = child;
  if (stdout === null || stderr === null) throw new Error('not piped');
  const [[code], ...parts] = await Promise.all([once(child, 'exit'), text(stdout), text(stderr)]);
  return { code, said: parts.join('') };
}
