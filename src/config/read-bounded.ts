import { open } from 'node:fs/promises';

/** Reads a text file of at most `maxBytes`; also from a pipe. Throws an error with a message for people. */
export async function readBounded(path: string, maxBytes: number): Promise<string> {
  let file: Awaited<ReturnType<typeof open>>;
  try {
    file = await open(path, 'r');
  } catch (error) {
    throw new Error(reasonOf(error), { cause: error });
  }
  try {
    const buffer = Buffer.allocUnsafe(maxBytes + 1);
    let length = 0;
    while (length <= maxBytes) {
      const { bytesRead } = await file.read(buffer, length, buffer.length - length);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    if (length > maxBytes) throw new Error(`is larger than ${maxBytes} bytes`);
    return new TextDecoder('utf-8', { fatal: true }).decode(buffer.subarray(0, length));
  } catch (error) {
    if (error instanceof TypeError) throw new Error('is not UTF-8 text', { cause: error });
    throw new Error(reasonOf(error), { cause: error });
  } finally {
    await file.close();
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'does not exist',
  EACCES: 'may not be read',
  EPERM: 'may not be read',
  EISDIR: 'is a directory',
  ENOTDIR: 'does not exist',
  ELOOP: 'is a symbolic link to itself',
};

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'cannot be read';
  const code = 'code' in error ? String(error.code) : undefined;
  return code === undefined ? error.message : (REASONS[code] ?? `cannot be read (${code})`);
}
