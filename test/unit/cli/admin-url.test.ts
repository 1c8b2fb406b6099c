import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { AdminAddressError, adminUrl } from '../../../src/cli/admin-url.ts';

const directory = mkdtempSync(join(tmpdir(), 'warmpath-admin-'));
afterAll(() => rmSync(directory, { recursive: true }));

function aFile(text: string): string {
  const path = join(directory, `${Math.abs(text.length * 31 + text.charCodeAt(0))}.yaml`);
  writeFileSync(path, text);
  return path;
}

it.each([
  ['box:9500', 'http://box:9500'],
  ['[::1]:9411', 'http://[::1]:9411'],
  [':9411', 'http://127.0.0.1:9411'],
  ['0.0.0.0:9411', 'http://127.0.0.1:9411'],
  ['[::]:9411', 'http://[::1]:9411'],
  ['https://ops.example/', 'https://ops.example'],
])('understands %s', async (admin, want) => {
  expect(await adminUrl({ admin }, {})).toBe(want);
});

it.each(['a:b:c', 'ftp://x', 'http://x/path', 'http://x/?q=1', 'http://'])('refuses %s', async (admin) => {
  await expect(adminUrl({ admin }, {})).rejects.toThrow(AdminAddressError);
});

it('prefers the flag to the environment, that to the file, and has a default', async () => {
  const config = aFile('admin: 127.0.0.1:3\n');
  expect(await adminUrl({ admin: 'a:1', config }, { WARMPATH_ADMIN: 'b:2' })).toBe('http://a:1');
  expect(await adminUrl({ config }, { WARMPATH_ADMIN: 'b:2' })).toBe('http://b:2');
  expect(await adminUrl({ config }, {})).toBe('http://127.0.0.1:3');
  expect(await adminUrl({}, { WARMPATH_CONFIG: config })).toBe('http://127.0.0.1:3');
  expect(await adminUrl({ config: aFile('nodes: []\n') }, {})).toBe('http://127.0.0.1:9411');
  expect(await adminUrl({}, {})).toBe('http://127.0.0.1:9411');
});

it('reads the address from a file that is wrong elsewhere', async () => {
  const config = aFile('admin: 127.0.0.1:4\nnoodles: 3\n');
  expect(await adminUrl({ config }, {})).toBe('http://127.0.0.1:4');
});

it('says so when the file is not there', async () => {
  await expect(adminUrl({ config: '/nonexistent.yaml' }, {})).rejects.toThrow(
    '/nonexistent.yaml does not exist',
  );
});
