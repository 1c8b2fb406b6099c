import { execFile } from 'node:child_process';

export type ToolResult =
  | { readonly kind: 'ok'; readonly stdout: string }
  /** No such program, or it may not be run. */
  | { readonly kind: 'missing' }
  /** It ended with an error; some tools say why on standard output. */
  | { readonly kind: 'failed'; readonly stdout: string; readonly message: string }
  | { readonly kind: 'timeout' };

/** Runs a program without a shell. Never rejects; answers within its time limit whatever the program does. */
export type RunTool = (file: string, args: readonly string[], signal: AbortSignal) => Promise<ToolResult>;

export const TOOL_TIMEOUT_MS = 5_000;
const MAX_OUTPUT_BYTES = 4 * 1024 * 1024;
const MAX_MESSAGE = 200;

export function createRunTool({ timeoutMs = TOOL_TIMEOUT_MS }: { timeoutMs?: number } = {}): RunTool {
  return (file, args, signal) =>
    new Promise((resolve) => {
      if (signal.aborted) {
        resolve({ kind: 'timeout' });
        return;
      }
      // A program that the kernel holds (a wedged driver) survives SIGKILL: its end is not waited for.
      const giveUp = (): void => {
        child.kill('SIGKILL');
        child.unref();
        finish({ kind: 'timeout' });
      };
      const timer = setTimeout(giveUp, timeoutMs);
      const finish = (result: ToolResult): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', giveUp);
        resolve(result);
      };
      signal.addEventListener('abort', giveUp, { once: true });
      const child = execFile(
        file,
        args,
        {
          encoding: 'utf8',
          maxBuffer: MAX_OUTPUT_BYTES,
          killSignal: 'SIGKILL',
          windowsHide: true,
          env: toolEnvironment(process.env),
        },
        (error, stdout, stderr) => finish(resultOf(error, stdout, stderr)),
      );
      child.stdin?.end();
    });
}

/** Numbers and messages as the parsers know them; none of our own settings, the join token least of all. */
function toolEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const kept = Object.entries(env).filter(([name]) => !name.startsWith('WARMPATH_'));
  return { ...Object.fromEntries(kept), LC_ALL: 'C', LANG: 'C' };
}

function resultOf(error: Error | null, stdout: string, stderr: string): ToolResult {
  if (error === null) return { kind: 'ok', stdout };
  const code = 'code' in error ? error.code : undefined;
  if (code === 'ENOENT' || code === 'EACCES' || code === 'ENOTDIR') return { kind: 'missing' };
  const said = firstLine(stdout) ?? firstLine(stderr);
  return { kind: 'failed', stdout, message: said ?? `ended with ${String(code ?? 'a signal')}` };
}

/** The first line with anything on it, cut to a length that a log line bears. */
export function firstLine(text: string): string | undefined {
  const line = text
    .slice(0, 4_096)
    .split('\n')
    .find((candidate) => candidate.trim() !== '');
  return line?.trim().slice(0, MAX_MESSAGE);
}
