import { homedir } from 'node:os';
import { join } from 'node:path';
import { firstExecutable, onPath, type RealProgram } from './find-program.ts';

export type StaticTool = 'helm' | 'kubeconform' | 'promtool' | 'hadolint' | 'check-jsonschema';

/** A program that checks files of `deploy/`: from its variable (HELM, CHECK_JSONSCHEMA, …), else PATH, else the user's cache. */
export function staticTool(name: StaticTool): RealProgram {
  const variable = name.toUpperCase().replace('-', '_');
  const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'warmpath-test', 'bin', name);
  return {
    name,
    path: firstExecutable([process.env[variable], ...onPath(name), cache]),
    missing: `${name} is missing: run .ci/static-tools, or set ${variable}`,
  };
}
