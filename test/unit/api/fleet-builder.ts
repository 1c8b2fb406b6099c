import { newNode } from '../../../src/fleet/new-node.ts';
import { DEFAULT_HEALTH } from '../../../src/fleet/params.ts';
import { buildSnapshot } from '../../../src/fleet/snapshot.ts';
import type {
  FleetSnapshot,
  Gpu,
  GpuReport,
  Health,
  ModelOnDisk,
  NodeRecord,
  NodeSpec,
  ResidentModel,
} from '../../../src/fleet/types.ts';
import { DETAILS, spec } from '../fleet/builders.ts';

export function aModel(name: string, fields: Partial<ModelOnDisk> = {}): ModelOnDisk {
  return {
    key: name,
    name,
    digest: `digest-of-${name}`,
    sizeBytes: 4_000_000_000,
    modifiedAt: '2026-01-02T03:04:05Z',
    details: DETAILS,
    ...fields,
  };
}

export function aResident(name: string, fields: Partial<ResidentModel> = {}): ResidentModel {
  return {
    key: name,
    name,
    digest: `digest-of-${name}`,
    sizeBytes: 5 * 2 ** 30,
    vramBytes: 5 * 2 ** 30,
    contextLength: 4096,
    expiresAt: '2026-01-01T00:05:00Z',
    details: DETAILS,
    ...fields,
  };
}

export interface NodeFields {
  readonly spec?: Partial<NodeSpec>;
  readonly models?: readonly ModelOnDisk[];
  readonly resident?: readonly ResidentModel[];
  readonly health?: Partial<Health>;
  readonly record?: Partial<NodeRecord>;
}

/** A node that was polled a moment ago and is ready. */
export function aNode(id: string, fields: NodeFields = {}): NodeRecord {
  const fresh = newNode(spec(id, fields.spec), 0);
  const models = fields.models ?? [];
  const resident = fields.resident ?? [];
  return {
    ...fresh,
    address: '10.0.0.1:11434',
    health: { ...fresh.health, status: 'ready', ...fields.health },
    models: new Map(models.map((model) => [model.key, model])),
    resident: new Map(resident.map((model) => [model.key, model])),
    version: '0.24.0',
    seenAt: { resident: 0, tags: 0, version: 0 },
    rttMs: 1.25,
    ...fields.record,
  };
}

export function aSnapshot(nodes: readonly NodeRecord[], version = 1, now = 0): FleetSnapshot {
  return buildSnapshot(nodes, version, now, DEFAULT_HEALTH);
}

export function aGpu(fields: Partial<Gpu> = {}): Gpu {
  return {
    index: 0,
    name: 'RTX 4090',
    vendor: 'nvidia',
    vramTotalBytes: 24 * 2 ** 30,
    vramUsedBytes: 7 * 2 ** 30,
    utilization: 0.5,
    temperatureC: 61,
    powerW: 210,
    isThrottled: false,
    ...fields,
  };
}

/** An agent's report, good for 15 s. */
export function aGpuReport(gpus: readonly Gpu[], fields: Partial<GpuReport> = {}): GpuReport {
  return {
    source: 'agent',
    validForMs: 15_000,
    gpus,
    isUnifiedMemory: false,
    host: undefined,
    ollama: undefined,
    ...fields,
  };
}
