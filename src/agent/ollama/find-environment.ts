import { readdir, readFile } from 'node:fs/promises';
import { platform } from 'node:os';
import { join } from 'node:path';
import type { RunTool } from '../run-tool.ts';
import {
  listenAddress,
  type OllamaEnvironment,
  parseProcEnvironment,
  parseSystemdEnvironment,
} from './environment.ts';

/** Where what was found comes from, for people. */
export interface FoundEnvironment {
  readonly env: OllamaEnvironment;
  readonly from: string;
}

export interface FindOptions {
  readonly run: RunTool;
  /** Of several Ollamas on this machine, the one that listens here; undefined: the first that is found. */
  readonly port: number | undefined;
  readonly proc?: string;
  readonly os?: NodeJS.Platform;
}

/** The environment of the Ollama that runs here; undefined where nobody may see it. Never rejects. */
export async function findEnvironment(
  { run, port, proc = '/proc', os = platform() }: FindOptions,
  signal: AbortSignal,
): Promise<FoundEnvironment | undefined> {
  if (os === 'linux') {
    return (await fromProcess(proc, port)) ?? (await fromSystemd(run, port, signal));
  }
  return os === 'darwin' ? await fromLaunchd(run, signal) : undefined;
}

/** Of the running process itself: its user and root may read it. */
async function fromProcess(proc: string, port: number | undefined): Promise<FoundEnvironment | undefined> {
  const pids = (await readdir(proc).catch(() => [])).filter((name) => /^\d+$/.test(name));
  for (const pid of pids) {
    if (!(await isServer(join(proc, pid)))) continue;
    const text = await readFile(join(proc, pid, 'environ'), 'utf8').catch(() => undefined);
    if (text === undefined || text === '') continue;
    const env = parseProcEnvironment(text);
    if (port === undefined || listenAddress(env.OLLAMA_HOST).port === port)
      return { env, from: `process ${pid}` };
  }
  return undefined;
}

/** `ollama serve`, not one of its runners or clients. */
async function isServer(dir: string): Promise<boolean> {
  const name = await readFile(join(dir, 'comm'), 'utf8').catch(() => '');
  if (name.trim() !== 'ollama') return false;
  const args = (await readFile(join(dir, 'cmdline'), 'utf8').catch(() => '')).split('\0');
  return args[1] === 'serve' || args[1] === 'start';
}

/** Everybody may read what stands in the unit, but not its EnvironmentFile. */
async function fromSystemd(
  run: RunTool,
  port: number | undefined,
  signal: AbortSignal,
): Promise<FoundEnvironment | undefined> {
  const args = ['show', 'ollama.service', '--property=LoadState', '--property=Environment'];
  const result = await run('systemctl', args, signal);
  if (result.kind !== 'ok' || !/^LoadState=loaded$/m.test(result.stdout)) return undefined;
  const env = parseSystemdEnvironment(result.stdout);
  // One Ollama per GPU: the others are none of this unit.
  if (port !== undefined && listenAddress(env.OLLAMA_HOST).port !== port) return undefined;
  return { env, from: 'the unit ollama.service' };
}

/** Where Ollama's documentation has it set on a Mac. */
async function fromLaunchd(run: RunTool, signal: AbortSignal): Promise<FoundEnvironment | undefined> {
  const names = [
    'OLLAMA_NUM_PARALLEL',
    'OLLAMA_MAX_LOADED_MODELS',
    'OLLAMA_MAX_QUEUE',
    'OLLAMA_MODELS',
    'OLLAMA_HOST',
  ] as const;
  const pairs = await Promise.all(
    names.map(async (name) => {
      const result = await run('/bin/launchctl', ['getenv', name], signal);
      const value = result.kind === 'ok' ? result.stdout.trim() : '';
      return [name, value] as const;
    }),
  );
  const env = Object.fromEntries(pairs.filter(([, value]) => value !== ''));
  return Object.keys(env).length === 0 ? undefined : { env, from: 'launchctl' };
}
