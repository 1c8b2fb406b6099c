import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

const TOOLS = join(import.meta.dirname, '..', 'tools');

/** Builds a Go tool of `tools/` (standard library only) and answers the path of its binary. */
export function buildTool(name: 'loadgen' | 'mockollama', into: string): string {
  mkdirSync(into, { recursive: true });
  const binary = join(into, name);
  try {
    execFileSync('go', ['build', '-o', binary, '.'], {
      cwd: join(TOOLS, name),
      stdio: ['ignore', 'inherit', 'pipe'],
    });
  } catch (error) {
    throw new Error(`${name} could not be built: the benchmark needs Go 1.24 or newer on the PATH`, {
      cause: error,
    });
  }
  return binary;
}

export interface Distribution {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
  readonly mean: number;
}

/** What loadgen prints; times in ms. */
export interface LoadResult {
  readonly ok: number;
  readonly errors: number;
  readonly kinds: Record<string, number>;
  readonly rps: number;
  readonly elapsed: number;
  readonly ttfb: Distribution;
  readonly total: Distribution;
  readonly tokens_per_s?: number;
  readonly gap?: Distribution;
}

/** Runs loadgen to its end. */
export function runLoad(loadgen: string, args: readonly string[]): Promise<LoadResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(loadgen, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
    child.once('error', reject);
    child.once('exit', (code) => {
      if (code !== 0) return reject(new Error(`loadgen ended with ${code}`));
      resolve(JSON.parse(output) as LoadResult); // our own tool's output
    });
  });
}
