import type { Drain, DrainCause, GpuReport, NodeId, NodeRecord, Observation } from '../../fleet/types.ts';
import type { Log } from '../log.ts';
import type { Clock } from '../ports.ts';
import type { AgentReport } from './agent-protocol.ts';

/** Reports that may fail to come before their figures are given up. */
const MISSED_REPORTS = 3;
/** A network that hiccups for less than this makes no figure stale. */
const MIN_VALID_MS = 5_000;
/** An agent that says nothing for this long no longer keeps its node drained: it may be gone for good. */
const DRAIN_SILENCE_MS = 120_000;
const SWEEP_MS = 1_000;
/** 16 TiB: no GPU has more, and what is claimed beyond is a lie. */
const MAX_GPU_BYTES = 2 ** 44;
const MAX_HOST_BYTES = 2 ** 50;

type AgentCause = Extract<DrainCause, 'maintenance' | 'owner_hours'>;

export interface AgentFleetOptions {
  readonly observe: (node: NodeId, observation: Observation) => void;
  /** What is known of a node, reports to other replicas included. */
  readonly record: (node: NodeId) => NodeRecord | undefined;
  readonly drains: { set(node: NodeId, cause: DrainCause, drain: Drain | undefined): void };
  readonly clock: Clock;
  readonly log: Log;
}

interface Speaker {
  heardAt: number;
  validForMs: number;
  isSilent: boolean;
  /** Undefined: the node needs not drain; absent: never said. */
  readonly drains: Map<AgentCause, Drain | undefined>;
}

/**
 * What agents tell, as the fleet understands it. Figures of an agent that falls silent grow old by themselves; the drains
 * that it asked for end after two minutes of silence (or three reports, where those come less often), as nobody is left
 * who could end them. The node itself stays as long as it answers polls.
 */
export class AgentFleet {
  readonly #options: AgentFleetOptions;
  readonly #speakers = new Map<NodeId, Speaker>();

  constructor(options: AgentFleetOptions) {
    this.#options = options;
  }

  /** Agents that report here. */
  get size(): number {
    return this.#speakers.size;
  }

  /** The node is who it says; its report was checked by its schema. */
  heard(node: NodeId, report: AgentReport): void {
    const { clock, log, observe } = this.#options;
    const speaker = this.#speakers.get(node) ?? newSpeaker();
    this.#speakers.set(node, speaker);
    if (speaker.isSilent) log.info({ node }, `the agent of ${node} reports again`);
    speaker.isSilent = false;
    speaker.heardAt = clock.now();
    speaker.validForMs = validForMs(report);
    observe(node, { kind: 'gpu', report: gpuReport(report) });
    const { maintenance, ownerInUse } = report;
    const note = maintenance?.on === true ? printable(maintenance.note) || 'its agent says so' : undefined;
    this.#drain(node, speaker, 'maintenance', note);
    this.#drain(node, speaker, 'owner_hours', ownerInUse ? 'its owner uses the machine' : undefined);
  }

  /** Runs until aborted: notices agents that fell silent. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#options.clock.sleep(SWEEP_MS, signal);
      if (!signal.aborted) this.sweep();
    }
  }

  sweep(): void {
    const { clock, log, record } = this.#options;
    const now = clock.now();
    for (const [node, speaker] of this.#speakers) {
      const known = record(node);
      const elsewhere = known?.gpu.agent?.at ?? Number.NEGATIVE_INFINITY;
      const quietMs = now - Math.max(speaker.heardAt, elsewhere);
      // Reports that go to another replica now are that one's to act on.
      if (elsewhere > speaker.heardAt + speaker.validForMs) {
        this.#speakers.delete(node);
        continue;
      }
      if (quietMs > speaker.validForMs && !speaker.isSilent && known !== undefined) {
        speaker.isSilent = true;
        log.warn({ node }, `the agent of ${node} has fallen silent: its GPU figures are no longer used`);
      }
      if (quietMs > Math.max(DRAIN_SILENCE_MS, speaker.validForMs)) this.#forget(node, speaker);
    }
  }

  #forget(node: NodeId, speaker: Speaker): void {
    for (const cause of [...speaker.drains.keys()]) this.#drain(node, speaker, cause, undefined);
    this.#speakers.delete(node);
  }

  /** Without a note the node needs not drain. What is said first is passed on in any case: we may have been restarted. */
  #drain(node: NodeId, speaker: Speaker, cause: AgentCause, note: string | undefined): void {
    const known = speaker.drains.get(cause);
    if (speaker.drains.has(cause) && known?.note === note) return;
    const since = known?.since ?? this.#options.clock.date().toISOString();
    const drain = note === undefined ? undefined : { since, note, removeAt: undefined };
    speaker.drains.set(cause, drain);
    this.#options.drains.set(node, cause, drain);
  }
}

function newSpeaker(): Speaker {
  return { heardAt: 0, validForMs: MIN_VALID_MS, isSilent: false, drains: new Map() };
}

function validForMs({ intervalMs }: AgentReport): number {
  return Math.max(MIN_VALID_MS, intervalMs * MISSED_REPORTS);
}

/** The report's figures as the fleet keeps them: bounded, printable, no more used than there is. */
export function gpuReport(report: AgentReport): GpuReport {
  const { host, ollama } = report;
  return {
    source: 'agent',
    validForMs: validForMs(report),
    isUnifiedMemory: report.isUnifiedMemory,
    gpus: report.gpus.map((gpu) => {
      const total = capped(gpu.vramTotalBytes, MAX_GPU_BYTES);
      return {
        index: gpu.index,
        name: printable(gpu.name),
        vendor: gpu.vendor,
        vramTotalBytes: total,
        vramUsedBytes: capped(gpu.vramUsedBytes, total ?? MAX_GPU_BYTES),
        utilization: gpu.utilization,
        temperatureC: gpu.temperatureC,
        powerW: gpu.powerW,
        isThrottled: gpu.isThrottled,
      };
    }),
    host: host && {
      memoryTotalBytes: capped(host.memoryTotalBytes, MAX_HOST_BYTES),
      memoryAvailableBytes: capped(host.memoryAvailableBytes, MAX_HOST_BYTES),
      load1: host.load1,
      cpus: host.cpus,
      diskFreeBytes: capped(host.diskFreeBytes, 2 * MAX_HOST_BYTES),
    },
    ollama: ollama && {
      parallel: ollama.parallel,
      maxLoadedModels: ollama.maxLoadedModels,
      maxQueue: ollama.maxQueue,
    },
  };
}

function capped(bytes: number | undefined, max: number): number | undefined {
  return bytes === undefined ? undefined : Math.min(bytes, max);
}

/** Printable ASCII: it is shown in tables, logs and metrics. */
function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '').trim();
}
