import { join } from 'node:path';
import type { GpuChoice } from './gpu/choose.ts';
import type { ServiceSettings } from './ollama/environment.ts';
import type { WeekSpan } from './owner-hours.ts';

/** What the agent was told by its flags and environment, checked. */
export interface AgentSettings {
  /** Origins of control planes, tried in this order. */
  readonly to: readonly URL[];
  readonly node: string;
  /** Undefined: this machine's address towards the control plane, with Ollama's port. */
  readonly url: string | undefined;
  readonly joinToken: string | undefined;
  readonly intervalMs: number;
  readonly stateDir: string;
  /** PEM of the CA that signed the control plane's certificate; undefined: the system's. */
  readonly ca: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
  /** Each wins over what Ollama's environment says. */
  readonly ollama: ServiceSettings;
  /** A file with Ollama's environment; undefined: that of the service, where it may be read. */
  readonly ollamaEnvFile: string | undefined;
  readonly modelsDir: string | undefined;
  /** Only these GPUs; undefined: those that Ollama's environment leaves it. */
  readonly gpus: GpuChoice | undefined;
  /** The owner's note; undefined: no maintenance by flag. */
  readonly maintenance: string | undefined;
  readonly ownerHours: readonly WeekSpan[];
}

export function keyPath({ stateDir, node }: Pick<AgentSettings, 'stateDir' | 'node'>): string {
  return join(stateDir, `${node}.key`);
}

/** While this file is there, the node is in maintenance; its first line is the note. */
export function maintenancePath({ stateDir }: Pick<AgentSettings, 'stateDir'>): string {
  return join(stateDir, 'maintenance');
}
