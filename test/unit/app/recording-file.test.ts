import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { RecordingFile } from '../../../src/app/recording-file.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { MemoryLog } from '../../support/memory-log.ts';
import { tempDir } from '../../support/temp-dir.ts';

function aFile(path: string, maxBytes = 1 << 20) {
  const clock = new FakeClock();
  const log = new MemoryLog();
  return { clock, log, file: new RecordingFile({ path, maxBytes, clock, log }) };
}

describe('a recording', () => {
  it('is appended to, a second after the first line or at the end', async () => {
    const path = join(tempDir().path, 'decisions.jsonl');
    const first = aFile(path);
    first.file.append('{"a":1}');
    first.file.append('{"a":2}');
    await first.clock.advance(1_000);
    await first.file.flush();
    expect(await readFile(path, 'utf8')).toBe('{"a":1}\n{"a":2}\n');
    await first.file.close();
    const second = aFile(path);
    second.file.append('{"a":3}');
    await second.file.close();
    expect(await readFile(path, 'utf8')).toBe('{"a":1}\n{"a":2}\n{"a":3}\n');
    expect([first.file.written, second.file.written]).toEqual([2, 1]);
  });

  it('is read by its owner only', async () => {
    const path = join(tempDir().path, 'decisions.jsonl');
    const { file } = aFile(path);
    file.append('{}');
    await file.close();
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  it('is begun anew before it grows too large, and one earlier file stays', async () => {
    const path = join(tempDir().path, 'decisions.jsonl');
    const { file } = aFile(path, 100);
    for (const letter of ['a', 'b', 'c']) {
      file.append(letter.repeat(59));
      await file.flush();
    }
    await file.close();
    expect(await readFile(path, 'utf8')).toBe(`${'c'.repeat(59)}\n`);
    expect(await readFile(`${path}.1`, 'utf8')).toBe(`${'b'.repeat(59)}\n`);
    expect(file.dropped).toBe(0);
  });

  it('warns once while it cannot be written, counts what is lost, and goes on when it can', async () => {
    const dir = join(tempDir().path, 'later');
    const path = join(dir, 'decisions.jsonl');
    const { file, log } = aFile(path);
    for (const line of ['1', '2', '3']) {
      file.append(line);
      await file.flush();
    }
    expect(log.count('warn')).toBe(1);
    expect(file.dropped).toBe(3);
    await mkdir(dir);
    file.append('4');
    await file.flush();
    expect(await readFile(path, 'utf8')).toBe('4\n');
    expect(log.lines.at(-1)).toMatchObject({ level: 'info', message: 'decisions are recorded again' });
    await file.close();
  });

  it('begins a new line where an earlier run was cut off in the middle of one', async () => {
    const path = join(tempDir().path, 'decisions.jsonl');
    await writeFile(path, '{"a":1}\n{"a":');
    const { file } = aFile(path);
    file.append('{"a":3}');
    await file.close();
    expect(await readFile(path, 'utf8')).toBe('{"a":1}\n{"a":\n{"a":3}\n');
  });

  it('holds no more than a few megabytes for a disk that does not keep up', async () => {
    const path = join(tempDir().path, 'decisions.jsonl');
    const { file } = aFile(path, 2 ** 30);
    const line = 'x'.repeat(1_023);
    for (let i = 0; i < 10_000; i += 1) file.append(line);
    expect(file.dropped).toBeGreaterThan(10_000 - 2 * 4_096 - 1);
    await file.close();
    expect(file.written + file.dropped).toBe(10_000);
    expect(file.written).toBeGreaterThan(4_000);
    expect((await stat(path)).size).toBe(file.written * 1_024);
  });
});
