import { createHash, randomBytes } from 'node:crypto';
import { AgentFleet } from '../../../../src/app/agents/agent-fleet.ts';
import { AgentIntake, type AgentRequest } from '../../../../src/app/agents/agent-intake.ts';
import {
  AGENT_PATHS,
  type AgentKey,
  type AgentReport,
  generateAgentKey,
  type JoinRequest,
  joinSignature,
  signReport,
} from '../../../../src/app/agents/agent-protocol.ts';
import type { AgentResult } from '../../../../src/app/agents/agent-refusal.ts';
import {
  type Candidate,
  NodeAdminError,
  type NodeRegistry,
  type RegisteredNode,
} from '../../../../src/app/registry/registry-types.ts';
import { parseNodeUrl } from '../../../../src/config/node-url.ts';
import type { Drain, DrainCause, NodeRecord, NodeSpec, Observation } from '../../../../src/fleet/types.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { MemoryLog } from '../../../support/memory-log.ts';
import { spec } from '../../fleet/builders.ts';

export const TOKEN = 'the-join-token-of-this-fleet';
export const NAME = 'gpu1';
export const SENDER = '192.168.1.10';
export const URL_OF_NODE = 'http://192.168.1.10:11434';

/** Names belong to the first key; no probing, no store. */
export class TestRegistry implements Pick<NodeRegistry, 'get' | 'list' | 'join'> {
  readonly nodes = new Map<string, RegisteredNode>();
  joins = 0;

  get(id: string): RegisteredNode | undefined {
    return this.nodes.get(id);
  }
  list(): readonly RegisteredNode[] {
    return [...this.nodes.values()];
  }
  join(candidate: Candidate): RegisteredNode {
    this.joins += 1;
    const id = candidate.name ?? '';
    const known = this.nodes.get(id);
    if (known?.identity !== undefined && known.identity !== candidate.identity)
      throw new NodeAdminError('conflict', `${id} has another key`);
    const isConfigured = known?.source === 'config';
    const node: RegisteredNode = {
      id,
      spec: isConfigured ? known.spec : spec(id, { url: candidate.url, labels: candidate.labels }),
      source: isConfigured ? 'config' : 'agent',
      identity: candidate.identity,
      state: known?.state ?? 'member',
      firstSeenAt: '2026-01-01T00:00:00Z',
      lastSeenAt: '2026-01-01T00:00:00Z',
      problem: undefined,
    };
    this.nodes.set(id, node);
    return node;
  }
  configure(node: NodeSpec): void {
    this.nodes.set(node.id, {
      id: node.id,
      spec: node,
      source: 'config',
      identity: undefined,
      state: 'member',
      firstSeenAt: '2026-01-01T00:00:00Z',
      lastSeenAt: '2026-01-01T00:00:00Z',
      problem: undefined,
    });
  }
  change(id: string, fields: Partial<RegisteredNode>): void {
    const node = this.nodes.get(id);
    if (node !== undefined) this.nodes.set(id, { ...node, ...fields });
  }
}

export interface BenchOptions {
  readonly clock?: FakeClock;
  readonly names?: Readonly<Record<string, readonly string[]>>;
  readonly allowLoopback?: boolean;
  readonly maxNodes?: number;
  readonly store?: { isShared: boolean; claimOnce(value: string, ttlMs: number): Promise<boolean> };
}

/** Everything behind the agents' interface, with nothing real but the logic. */
export class AgentBench {
  readonly clock: FakeClock;
  readonly log = new MemoryLog();
  readonly registry = new TestRegistry();
  readonly results: AgentResult[] = [];
  readonly observations: [string, Observation][] = [];
  readonly records = new Map<string, NodeRecord>();
  readonly drains = new Map<string, Drain>();
  readonly drainCalls: string[] = [];
  readonly fleet: AgentFleet;
  readonly intake: AgentIntake;

  constructor(options: BenchOptions = {}) {
    const { names = {}, allowLoopback = false, maxNodes = 1_000 } = options;
    this.clock = options.clock ?? new FakeClock({ now: 1_000 });
    const { clock, log } = this;
    this.fleet = new AgentFleet({
      clock,
      log,
      observe: (node, observation) => this.observations.push([node, observation]),
      record: (node) => this.records.get(node),
      drains: { set: (node, cause, drain) => this.#drain(node, cause, drain) },
    });
    this.intake = new AgentIntake({
      joinToken: TOKEN,
      maxNodes: () => maxNodes,
      address: {
        allowLoopback,
        lookup: async (host) => {
          const found = names[host];
          if (found === undefined) throw new Error('ENOTFOUND');
          return found;
        },
        listeners: [
          { host: '0.0.0.0', port: 11_434 },
          { host: '127.0.0.1', port: 9_411 },
        ],
        localIps: () => ['127.0.0.1', '192.168.1.1'],
      },
      parseUrl: parseNodeUrl,
      registry: this.registry,
      store: options.store ?? { isShared: false, claimOnce: async () => true },
      fleet: this.fleet,
      telemetry: { agentRequest: (_kind, result) => this.results.push(result) },
      clock,
      log,
    });
  }

  #drain(node: string, cause: DrainCause, drain: Drain | undefined): void {
    this.drainCalls.push(`${node} ${cause} ${drain === undefined ? 'off' : 'on'}`);
    if (drain === undefined) this.drains.delete(`${node} ${cause}`);
    else this.drains.set(`${node} ${cause}`, drain);
  }

  /** Answers the code of the reply: `accepted` or why not. */
  async send(request: AgentRequest): Promise<AgentResult> {
    return (await this.intake.handle(request)).result;
  }

  request(
    kind: AgentRequest['kind'],
    body: unknown,
    sign: (parts: Parameters<typeof joinSignature>[1]) => string,
    fields: Partial<AgentRequest> = {},
  ): AgentRequest {
    const bytes = Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body));
    const base = {
      kind,
      node: NAME,
      time: String(this.clock.date().getTime()),
      nonce: randomBytes(16).toString('hex'),
      body: bytes,
      sender: SENDER,
      ...fields,
    };
    const parts = { method: 'POST', path: AGENT_PATHS[kind], ...base };
    return { ...base, signature: fields.signature ?? sign(parts) };
  }

  join(
    key: AgentKey,
    body: Partial<JoinRequest> = {},
    fields: Partial<AgentRequest> = {},
    token = TOKEN,
  ): AgentRequest {
    const node = body.node ?? fields.node ?? NAME;
    return this.request(
      'join',
      { node, url: URL_OF_NODE, publicKey: key.publicKey, version: '0.1.0', ...body },
      (parts) => joinSignature(token, parts),
      { node, ...fields },
    );
  }

  report(key: AgentKey, body: Partial<AgentReport> = {}, fields: Partial<AgentRequest> = {}): AgentRequest {
    const node = body.node ?? fields.node ?? NAME;
    return this.request('report', aReport({ node, ...body }), (parts) => signReport(key, parts), {
      node,
      ...fields,
    });
  }

  /** Any bytes, signed as they are. */
  rawReport(key: AgentKey, body: Buffer): AgentRequest {
    return this.request('report', body, (parts) => signReport(key, parts));
  }

  async joined(key: AgentKey = generateAgentKey(), name = NAME): Promise<AgentKey> {
    const result = await this.send(this.join(key, { node: name }));
    if (result !== 'accepted') throw new Error(`join: ${result}`);
    return key;
  }
}

export function aReport(fields: Partial<AgentReport> = {}): AgentReport {
  return {
    node: NAME,
    url: URL_OF_NODE,
    gpus: [
      {
        index: 0,
        name: 'NVIDIA GeForce RTX 4090',
        vendor: 'nvidia',
        vramTotalBytes: 24 * 2 ** 30,
        vramUsedBytes: 2 ** 30,
        utilization: 0.5,
        temperatureC: 61,
        powerW: 120.5,
        isThrottled: false,
      },
    ],
    isUnifiedMemory: false,
    host: {
      memoryTotalBytes: 64 * 2 ** 30,
      memoryAvailableBytes: 2 ** 35,
      load1: 1,
      cpus: 16,
      diskFreeBytes: 2 ** 40,
    },
    ollama: { parallel: 4 },
    ownerInUse: false,
    intervalMs: 5_000,
    ...fields,
  };
}

/** A nonce that belongs to its text: the same again for the same text. */
export function nonceOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 32);
}
