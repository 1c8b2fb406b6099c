import { newNode } from '../../../src/fleet/new-node.ts';
import { observe } from '../../../src/fleet/observe.ts';
import { DEFAULT_HEALTH, type HealthParams } from '../../../src/fleet/params.ts';
import type {
  FailureReason,
  ModelDetails,
  ModelOnDisk,
  NodeRecord,
  NodeSpec,
  Observation,
  ResidentModel,
  ServiceTimes,
} from '../../../src/fleet/types.ts';

export const GIB = 1024 ** 3;

export const DETAILS: ModelDetails = {
  parent_model: '',
  format: 'gguf',
  family: 'llama',
  families: ['llama'],
  parameter_size: '8B',
  quantization_level: 'Q4_K_M',
};

export function spec(id: string, fields: Partial<NodeSpec> = {}): NodeSpec {
  return {
    id,
    url: { scheme: 'http', host: '10.0.0.1', port: 11434 },
    token: undefined,
    tlsCaFile: undefined,
    slots: undefined,
    vramBytes: undefined,
    labels: {},
    weight: 1,
    drain: false,
    ...fields,
  };
}

export function onDisk(key: string, fields: Partial<ModelOnDisk> = {}): ModelOnDisk {
  return {
    key,
    name: key,
    digest: `digest of ${key}`,
    sizeBytes: 5 * GIB,
    modifiedAt: '2026-09-01T10:00:00Z',
    details: DETAILS,
    ...fields,
  };
}

export function resident(key: string, fields: Partial<ResidentModel> = {}): ResidentModel {
  return {
    key,
    name: key,
    digest: `digest of ${key}`,
    sizeBytes: 6 * GIB,
    vramBytes: 6 * GIB,
    contextLength: 4096,
    expiresAt: '2026-09-01T10:05:00Z',
    details: DETAILS,
    ...fields,
  };
}

/** A warm request that took 1 s of work, waited for nothing and ran alone. */
export function service(fields: Partial<ServiceTimes> = {}): ServiceTimes {
  return {
    concurrency: 1,
    wasWarm: true,
    firstByteMs: 100,
    totalMs: 1_005,
    loadMs: 5,
    promptEvalMs: 200,
    evalMs: 800,
    promptTokens: 20,
    completionTokens: 40,
    ...fields,
  };
}

/** A node's life, told second by second. */
export class NodeLife {
  record: NodeRecord;
  now: number;
  readonly params: HealthParams;

  constructor(fields: Partial<NodeSpec> = {}, params: Partial<HealthParams> = {}, now = 0) {
    this.params = { ...DEFAULT_HEALTH, ...params };
    this.now = now;
    this.record = newNode(spec('n1', fields), now);
    this.see({ kind: 'address', address: '10.0.0.1:11434', hosts: [] });
  }

  see(observation: Observation): this {
    this.record = observe(this.record, observation, this.params, this.now);
    return this;
  }

  wait(ms: number): this {
    this.now += ms;
    return this;
  }

  polled(...models: ResidentModel[]): this {
    return this.see({ kind: 'resident', models, rttMs: 1 });
  }

  tagged(...models: ModelOnDisk[]): this {
    return this.see({ kind: 'tags', models, rttMs: 1 });
  }

  pollFailed(reason: FailureReason = 'refused'): this {
    return this.see({ kind: 'poll_failed', reason, detail: 'x' });
  }

  failed(reason: FailureReason = 'refused', model = 'm:latest', retryAfterMs?: number): this {
    return this.see({ kind: 'attempt_failed', model, reason, retryAfterMs });
  }

  served(fields: Partial<ServiceTimes> = {}, model = 'm:latest'): this {
    return this.see({ kind: 'attempt_served', model, service: service(fields) });
  }

  /** Polls once a second, all well. */
  goodFor(ms: number): this {
    for (let passed = 0; passed < ms; passed += 1_000) {
      this.wait(Math.min(1_000, ms - passed)).polled(...this.record.resident.values());
    }
    return this;
  }

  get status(): string {
    return this.record.health.status;
  }
}
