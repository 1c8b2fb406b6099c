import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { KeyFileError, loadKey } from '../../../src/agent/key-file.ts';
import { type TempDir, tempDir } from '../../support/temp-dir.ts';

let dir: TempDir;
beforeEach(() => {
  dir = tempDir();
});
afterEach(() => dir.remove());

describe("a node's key", () => {
  it('is made once and kept for its owner alone', async () => {
    const path = join(dir.path, 'state', 'gpu1.key');
    const key = await loadKey(path);
    expect((await loadKey(path)).publicKey).toBe(key.publicKey);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(join(dir.path, 'state')).mode & 0o777).toBe(0o700);
    expect(readdirSync(join(dir.path, 'state'))).toEqual(['gpu1.key']);
  });

  it('is one and the same for agents that start at once', async () => {
    const path = join(dir.path, 'gpu1.key');
    const keys = await Promise.all([loadKey(path), loadKey(path), loadKey(path)]);
    expect(new Set(keys.map(({ publicKey }) => publicKey)).size).toBe(1);
    expect(readdirSync(dir.path)).toEqual(['gpu1.key']);
  });

  it('that others could read is closed to them', async () => {
    const path = join(dir.path, 'gpu1.key');
    await loadKey(path);
    chmodSync(path, 0o644);
    await loadKey(path);
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it('is never written over, however broken', async () => {
    const path = join(dir.path, 'gpu1.key');
    writeFileSync(path, 'half a ke');
    await expect(loadKey(path)).rejects.toThrow(KeyFileError);
    await expect(loadKey(path)).rejects.toThrow('move it away');
    expect(readFileSync(path, 'utf8')).toBe('half a ke');
  });

  it('that cannot be written says where it may', async () => {
    mkdirSync(join(dir.path, 'x'));
    writeFileSync(join(dir.path, 'x', 'file'), '');
    await expect(loadKey(join(dir.path, 'x', 'file', 'gpu1.key'))).rejects.toThrow(/--state-dir/);
  });
});
