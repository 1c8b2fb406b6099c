import { homedir } from 'node:os';
import { join } from 'node:path';
import { type AgentReport, reportSchema } from '../app/agents/agent-protocol.ts';
import type { Clock } from '../app/ports.ts';
import { ALL_GPUS, type GpuChoice, parseVisibleDevices } from './gpu/choose.ts';
import { type Gpus, reported } from './gpu/gpus.ts';
import type { SeenGpu } from './gpu/reading.ts';
import type { HostFacts } from './host-facts.ts';
import { readMaintenance } from './maintenance.ts';
import { type OllamaEnvironment, settingsOf } from './ollama/environment.ts';
import type { FoundEnvironment } from './ollama/find-environment.ts';
import { isOwnerHour, minuteOfWeek } from './owner-hours.ts';
import { type AgentSettings, maintenancePath } from './settings.ts';

export interface ReportSources {
  readonly settings: AgentSettings;
  readonly clock: Clock;
  readonly gpus: Pick<Gpus, 'see'>;
  readonly host: (modelsDir: string, signal: AbortSignal) => Promise<HostFacts | undefined>;
  readonly environment: (signal: AbortSignal) => Promise<FoundEnvironment | undefined>;
}

export interface BuiltReport {
  readonly report: AgentReport;
  readonly environment: FoundEnvironment | undefined;
  /** For people: what could not be seen, and why. */
  readonly problems: readonly string[];
}

/** What this machine looks like now, as `url` and `intervalMs` would report it. */
export async function buildReport(
  sources: ReportSources,
  url: string,
  signal: AbortSignal,
): Promise<BuiltReport> {
  const { settings, clock } = sources;
  const environment = await sources.environment(signal);
  const env = environment?.env ?? {};
  const [seen, host, maintenance] = await Promise.all([
    sources.gpus.see(choiceOf(settings, env), signal),
    sources.host(modelsDirOf(settings, env), signal),
    readMaintenance(settings.maintenance, maintenancePath(settings)),
  ]);
  const hours = settings.ownerHours;
  const found = settingsOf(env);
  const report: AgentReport = {
    node: settings.node,
    url,
    gpus: seen.gpus.map((gpu) => reported(withHostMemory(gpu, host))),
    isUnifiedMemory: seen.gpus.length > 0 && seen.gpus.every(({ isIntegrated }) => isIntegrated),
    host,
    ollama: {
      parallel: settings.ollama.parallel ?? found.parallel,
      maxLoadedModels: settings.ollama.maxLoadedModels ?? found.maxLoadedModels,
      maxQueue: settings.ollama.maxQueue ?? found.maxQueue,
    },
    maintenance,
    ownerInUse: isOwnerHour(hours, minuteOfWeek(clock.date())),
    ownerHours: hours.length === 0 ? undefined : [...hours],
    intervalMs: settings.intervalMs,
  };
  // What tools print is anybody's guess: the report that leaves is one that the control plane takes.
  return { report: reportSchema.parse(report), environment, problems: seen.problems };
}

/** A GPU with no memory of its own that its tool tells of takes the host's, all of it. */
function withHostMemory(gpu: SeenGpu, host: HostFacts | undefined): SeenGpu {
  const { memoryTotalBytes: total, memoryAvailableBytes: available } = host ?? {};
  if (!gpu.isIntegrated || gpu.vramTotalBytes !== undefined || total === undefined) return gpu;
  const used = available === undefined ? undefined : Math.max(0, total - available);
  return { ...gpu, vramTotalBytes: total, vramUsedBytes: gpu.vramUsedBytes ?? used };
}

function choiceOf(settings: AgentSettings, env: OllamaEnvironment): GpuChoice {
  if (settings.gpus !== undefined) return settings.gpus;
  const amd = env.ROCR_VISIBLE_DEVICES ?? env.HIP_VISIBLE_DEVICES;
  if (env.CUDA_VISIBLE_DEVICES === undefined && amd === undefined) return ALL_GPUS;
  return { nvidia: parseVisibleDevices(env.CUDA_VISIBLE_DEVICES), amd: parseVisibleDevices(amd) };
}

function modelsDirOf(settings: AgentSettings, env: OllamaEnvironment): string {
  return settings.modelsDir ?? (env.OLLAMA_MODELS || defaultModelsDir());
}

/** Where Ollama's installer for Linux has its user's home, else the home of whoever runs the agent. */
function defaultModelsDir(): string {
  return process.platform === 'linux'
    ? '/usr/share/ollama/.ollama/models'
    : join(homedir(), '.ollama', 'models');
}
