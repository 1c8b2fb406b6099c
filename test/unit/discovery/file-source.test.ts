import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Candidate } from '../../../src/app/registry/registry-types.ts';
import { SystemClock } from '../../../src/app/system-clock.ts';
import { createSource } from '../../../src/control-plane/discovery-sources.ts';
import { MemoryLog } from '../../support/memory-log.ts';
import { type TempDir, tempDir } from '../../support/temp-dir.ts';
import { waitFor } from '../../support/wait-for.ts';

let dir: TempDir;
let path: string;
let end = async (): Promise<void> => {};

beforeEach(() => {
  dir = tempDir();
  path = join(dir.path, 'nodes.yaml');
});
afterEach(async () => {
  await end();
  dir.remove();
});

function follow() {
  const said: (readonly Candidate[])[] = [];
  const log = new MemoryLog();
  const stop = new AbortController();
  const source = createSource(
    { kind: 'file', path },
    {
      clock: new SystemClock(),
      random: () => 0,
      log,
      env: { GPU_TOKEN: 'from-the-environment' },
      listeners: () => [{ host: '0.0.0.0', port: 11_434 }],
      localIps: () => ['192.0.2.7'],
    },
  );
  const done = source.run((found) => void said.push(found), stop.signal);
  end = async () => {
    stop.abort();
    await done;
  };
  const names = (): string[] => (said.at(-1) ?? []).map(({ name, url }) => `${name} ${url.host}:${url.port}`);
  const sees = (...want: string[]) =>
    waitFor(want.join(), () => JSON.stringify(names()) === JSON.stringify(want));
  return { said, log, names, sees };
}

describe('a file of nodes', () => {
  it('is a list as under "nodes", with every setting, in YAML or JSON', async () => {
    writeFileSync(
      path,
      `- url: http://10.0.0.1\n- {name: big, url: "https://gpu2:8443", slots: 4, token: "\${GPU_TOKEN}"}\n`,
    );
    const { sees, said } = follow();
    await sees('10.0.0.1 10.0.0.1:11434', 'big gpu2:8443');
    expect(said.at(-1)?.[1]).toMatchObject({
      source: 'file',
      url: { scheme: 'https' },
      settings: { slots: 4, token: 'from-the-environment' },
    });
    writeFileSync(path, JSON.stringify([{ url: 'http://10.0.0.9:24000' }]));
    await sees('10.0.0.9-24000 10.0.0.9:24000');
  });

  it('may hold a "nodes" section instead of a bare list', async () => {
    writeFileSync(path, 'nodes:\n- url: http://10.0.0.1\n');
    await follow().sees('10.0.0.1 10.0.0.1:11434');
  });

  it('is read again when it is replaced by rename', async () => {
    writeFileSync(path, '- url: http://10.0.0.1\n');
    const { sees } = follow();
    await sees('10.0.0.1 10.0.0.1:11434');
    writeFileSync(`${path}.new`, '- url: http://10.0.0.2\n');
    renameSync(`${path}.new`, path);
    await sees('10.0.0.2 10.0.0.2:11434');
  });

  it('that is the same node by name keeps its identity when its URL changes', async () => {
    writeFileSync(path, '- {name: a, url: http://10.0.0.1}\n');
    const { sees, said } = follow();
    await sees('a 10.0.0.1:11434');
    writeFileSync(path, '- {name: a, url: http://10.0.0.2}\n');
    await sees('a 10.0.0.2:11434');
    expect(new Set(said.flat().map(({ identity }) => identity)).size).toBe(1);
  });

  it.each([
    { name: 'broken YAML', text: '- url: [', says: /nodes.yaml:1:\d+/ },
    {
      name: 'an unknown key',
      text: '- {url: http://10.0.0.1, wieght: 2}\n',
      says: /wieght.*did you mean "weight"/,
    },
    {
      name: 'a wrong URL',
      text: '- url: http://10.0.0.1\n- url: ftp://x\n',
      says: /nodes.yaml:2:\d+ 1\.url: expected http/,
    },
    { name: 'our own address (H15)', text: '- url: http://127.0.0.1:11434\n', says: /own address.*circle/ },
    {
      name: 'our own address by interface (H15)',
      text: '- url: http://192.0.2.7:11434\n',
      says: /own address/,
    },
    { name: 'cloud metadata (S18)', text: '- url: http://169.254.169.254\n', says: /metadata/ },
    { name: 'no list', text: 'hello\n', says: /nodes.yaml/ },
    { name: 'an empty file', text: '', says: /nodes.yaml:1:1 \(root\): expected a list of nodes/ },
    { name: 'a list that is none', text: 'nodes: 7\n', says: /expected a list of nodes/ },
    { name: 'nothing at all', text: undefined, says: /does not exist/ },
  ])('changes nothing and says why, once, where it holds $name', async ({ text, says }) => {
    writeFileSync(path, '- url: http://10.0.0.1\n');
    const { sees, said, log } = follow();
    await sees('10.0.0.1 10.0.0.1:11434');
    if (text === undefined) rmSync(path);
    else writeFileSync(path, text);
    await waitFor('the reason', () => log.messages('warn').length > 0);
    expect(log.messages('warn')).toEqual([expect.stringMatching(says)]);
    expect(log.messages('warn')[0]).not.toContain('\n');
    expect(said).toHaveLength(1);
    writeFileSync(path, '- url: http://10.0.0.3\n');
    await sees('10.0.0.3 10.0.0.3:11434');
    expect(log.messages('info')).toEqual([expect.stringMatching(/works again/)]);
  });

  it('is read a few times only in a storm of a hundred writes (F87)', async () => {
    writeFileSync(path, '- url: http://10.0.0.1\n');
    const { sees, said } = follow();
    await sees('10.0.0.1 10.0.0.1:11434');
    for (let n = 0; n < 100; n++) {
      writeFileSync(path, `- url: http://10.0.1.${n + 1}\n`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await sees('10.0.1.100 10.0.1.100:11434');
    expect(said.length).toBeLessThan(12);
  });
});
