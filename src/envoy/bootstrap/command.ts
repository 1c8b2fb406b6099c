import { spawn } from 'node:child_process';

export interface CommandResult {
  /** Exit status; undefined where the program could not be started at all. */
  readonly code: number | undefined;
  /** Standard output and error, as they came. */
  readonly output: string;
}

/** Runs a program to its end. Never rejects: what cannot be started has no code. */
export type RunCommand = (
  command: string,
  args: readonly string[],
  signal: AbortSignal,
) => Promise<CommandResult>;

export const runCommand: RunCommand = (command, args, signal) => {
  const { promise, resolve } = Promise.withResolvers<CommandResult>();
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], signal });
  let output = '';
  const collect = (part: Buffer) => {
    output += part.toString();
  };
  child.stdout.on('data', collect);
  child.stderr.on('data', collect);
  child.on('error', (error) => resolve({ code: undefined, output: `${output}${error.message}` }));
  child.on('close', (code) => resolve({ code: code ?? 1, output }));
  return promise;
};
