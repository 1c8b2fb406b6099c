import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { firstExecutable, onPath, type RealProgram } from '../../support/find-program.ts';

/** The curl that tests run. */
export const realCurl: RealProgram = {
  name: 'curl',
  path: firstExecutable(onPath('curl')),
  missing: 'curl is missing: install it',
};

export interface CurlAnswer {
  readonly status: number;
  /** `1.1`, `2`, `1.0`: as the server answered. */
  readonly version: string;
  /** Lower-case names; of the last header block, which is the answer itself. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
  readonly text: string;
  /** Statuses of what came before, such as 100. */
  readonly interim: readonly number[];
  /** What curl said with -v, and its complaints. */
  readonly notes: string;
  json(): unknown;
}

/** Runs `curl` with these arguments, the last of them a URL; rejects where curl itself fails. */
export async function curl(args: readonly string[], input?: Buffer | string): Promise<CurlAnswer> {
  const answers = await curlAll(args, input);
  const last = answers.at(-1);
  if (last === undefined) throw new Error(`curl ${args.join(' ')}: no answer`);
  return last;
}

/** One run of `curl` over one URL, or several on one connection joined by `--next`. */
export async function curlAll(args: readonly string[], input?: Buffer | string): Promise<CurlAnswer[]> {
  const path = realCurl.path;
  if (path === undefined) throw new Error(realCurl.missing);
  const child = spawn(path, ['-sS', '-i', '--max-time', '60', ...args]);
  const [out, err] = [collect(child.stdout), collect(child.stderr)];
  // A server that answers before it has read everything closes the pipe early.
  child.stdin.on('error', () => undefined);
  child.stdin.end(input ?? '');
  const code = await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  const notes = (await err).toString();
  const bytes = await out;
  // 18: the answer broke off; 55, 56: it stopped reading our body, but answered.
  if (code !== 0 && bytes.length === 0)
    throw new Error(`curl ${args.join(' ')} ended with ${code}: ${notes}`);
  return parse(bytes, notes);
}

export function sha256(bytes: Buffer | string): string {
  return createHash('sha256').update(bytes).digest('hex');
}

const HEAD = /^HTTP\/([\d.]+) (\d{3})[^\r\n]*\r\n/;

function parse(bytes: Buffer, notes: string): CurlAnswer[] {
  const answers: CurlAnswer[] = [];
  let rest = bytes;
  while (rest.length > 0) {
    const interim: number[] = [];
    for (;;) {
      const end = rest.indexOf('\r\n\r\n');
      const head = rest.subarray(0, end + 2).toString('latin1');
      const match = HEAD.exec(head);
      if (end < 0 || match === null)
        throw new Error(`curl printed no header block: ${rest.subarray(0, 200)}`);
      rest = rest.subarray(end + 4);
      const status = Number(match[2]);
      if (status < 200) {
        interim.push(status);
        continue;
      }
      const headers = headersOf(head);
      const length = headers.get('content-length');
      // Several answers in one run need a length to be told apart; one alone ends with the output.
      const size = length === undefined || HEAD.test(rest.toString('latin1', 0, 20)) ? 0 : Number(length);
      const body = length === undefined ? rest : rest.subarray(0, size);
      rest = rest.subarray(body.length);
      const text = body.toString();
      const json = (): unknown => JSON.parse(text);
      answers.push({ status, version: match[1] ?? '', headers, body, text, interim, notes, json });
      break;
    }
  }
  return answers;
}

function headersOf(head: string): Map<string, string> {
  const lines = head.split('\r\n').slice(1).filter(Boolean);
  return new Map(
    lines.map((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }),
  );
}

async function collect(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}
