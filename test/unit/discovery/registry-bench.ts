import { Registry } from '../../../src/app/registry/node-registry.ts';
import type { ProbeAnswer, RegistryPolicy } from '../../../src/app/registry/registry-options.ts';
import type { Candidate } from '../../../src/app/registry/registry-types.ts';
import { deriveNodeName, parseNodeUrl } from '../../../src/config/node-url.ts';
import type { NodeSpec, NodeUrl } from '../../../src/fleet/types.ts';
import type { Store } from '../../../src/store/contract.ts';
import { MemoryStore } from '../../../src/store/memory.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { MemoryLog } from '../../support/memory-log.ts';

export function url(text: string): NodeUrl {
  const result = parseNodeUrl(text.startsWith('http') ? text : `http://${text}`);
  if ('problem' in result) throw new Error(result.problem);
  return result.url;
}

export function candidate(place: string, fields: Partial<Candidate> = {}): Candidate {
  return { name: undefined, url: url(place), source: 'dns', identity: undefined, labels: {}, ...fields };
}

export function agent(name: string, place: string, key = `key-${name}`): Candidate {
  return candidate(place, { name, source: 'agent', identity: key });
}

export function configured(id: string, place: string): NodeSpec {
  const none = { token: undefined, tlsCaFile: undefined, slots: undefined, vramBytes: undefined };
  return { id, url: url(place), ...none, labels: {}, weight: 1, drain: false };
}

export interface BenchOptions {
  readonly nodes?: readonly NodeSpec[];
  readonly policy?: Partial<RegistryPolicy>;
  readonly store?: Store;
  readonly clock?: FakeClock;
  readonly replica?: string;
}

/** A registry with a scripted world around it: every place answers as Ollama unless the test says otherwise. */
export class RegistryBench {
  readonly clock: FakeClock;
  readonly log = new MemoryLog();
  readonly store: Store;
  readonly registry: Registry;
  readonly answers = new Map<string, ProbeAnswer>();
  readonly probed: string[] = [];
  readonly busy = new Set<string>();
  readonly stop = new AbortController();
  policy: RegistryPolicy;
  changes = 0;
  probeMs = 0;
  mostAtOnce = 0;
  #asking = 0;
  readonly #running: Promise<void>[] = [];

  constructor({ nodes = [], policy = {}, store, clock, replica = 'r1' }: BenchOptions = {}) {
    this.clock = clock ?? new FakeClock();
    this.store = store ?? new MemoryStore(this.clock, { isShared: true });
    this.policy = { trust: 'lan', maxNodes: 100, maxAgents: 50, ...policy };
    this.registry = new Registry(
      {
        store: this.store,
        replica,
        clock: this.clock,
        log: this.log,
        policy: () => this.policy,
        probe: async ({ url: { host, port } }) => {
          this.probed.push(`${host}:${port}`);
          this.mostAtOnce = Math.max(this.mostAtOnce, ++this.#asking);
          if (this.probeMs > 0) await this.clock.sleep(this.probeMs, this.stop.signal);
          this.#asking -= 1;
          return this.answers.get(`${host}:${port}`) ?? { ips: [host] };
        },
        deriveName: deriveNodeName,
        parseUrl: (text) => {
          const result = parseNodeUrl(text);
          return 'url' in result ? result.url : undefined;
        },
        hasRequests: (id) => this.busy.has(id),
        nodeAt: () => undefined,
      },
      nodes,
    );
    this.registry.onMembers(() => {
      this.changes += 1;
    });
  }

  /** Loads and runs; `end` stops it. */
  async start(): Promise<this> {
    await this.registry.load();
    this.#running.push(this.registry.run(this.stop.signal));
    await this.clock.advance(0);
    return this;
  }

  /** Long enough for a probe, a write and the news of it. */
  async settle(ms = 600): Promise<void> {
    await this.clock.advance(ms);
  }

  async end(): Promise<void> {
    this.stop.abort();
    await this.clock.advance(0);
    await Promise.all(this.#running);
  }

  get members(): string[] {
    return this.registry.members().map(({ id }) => id);
  }

  places(): Record<string, string> {
    return Object.fromEntries(
      this.registry.members().map(({ id, url: { host, port } }) => [id, `${host}:${port}`]),
    );
  }

  problem(id: string): string | undefined {
    return this.registry.get(id)?.problem;
  }
}
