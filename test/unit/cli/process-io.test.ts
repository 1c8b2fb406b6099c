import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, it } from 'vitest';

it('ends quietly where its reader has seen enough', () => {
  const script = '{ "$1" "$2"; echo "code $?" >&2; } | head -n 1';
  const done = spawnSync(
    'sh',
    ['-c', script, 'sh', process.execPath, join(import.meta.dirname, 'long-talker.ts')],
    {
      encoding: 'utf8',
    },
  );
  expect(done.stdout).toBe('line 0\n');
  expect(done.stderr).toBe('code 0\n');
});
