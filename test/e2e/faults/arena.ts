import { expect } from 'vitest';
import type { NodeReport } from '../../../src/api/status-schema.ts';
import type { SimulatedNodeOptions } from '../../../src/demo/node-simulator.ts';
import { type SimulatedFleet, startFleet } from '../../sim/fleet.ts';
import { type Answer, post } from '../../support/http-client.ts';
import { waitFor } from '../../support/wait-for.ts';
import { type RunningWarmpath, startWarmpath, type WarmpathOptions } from '../../support/warmpath.ts';
import { generateBody, type Sample, sample } from './load.ts';

export const MODEL = 'alpha:latest';
export const GENERATE = '/api/generate';
const MIB = 2 ** 20;

/** Quick nodes with plenty of slots: what is under test is what happens between client and node. */
export const QUICK = {
  models: [
    { name: MODEL, sizeBytes: 64 * MIB, kvBytesPerToken: 16 },
    { name: 'beta:latest', sizeBytes: 64 * MIB, kvBytesPerToken: 16 },
  ],
  slots: 64,
  tokensPerSecond: 400,
  promptTokensPerSecond: 1e6,
  loadBytesPerSecond: 2 ** 33,
} satisfies Omit<SimulatedNodeOptions, 'name'>;

/** Polls, health and first bytes at a pace that tests can wait for. */
export const BRISK = {
  poll: { interval: '250ms', tagsInterval: '1s', timeout: '1s' },
  health: { readmitAfter: '500ms', slowStart: '2s' },
};

export interface ArenaOptions {
  readonly count?: number;
  readonly common?: Partial<Omit<SimulatedNodeOptions, 'name'>>;
  readonly each?: (index: number) => Partial<SimulatedNodeOptions>;
  /** Loads MODEL everywhere before anything is asked (default). */
  readonly warm?: boolean;
  /** Nodes that are not of this fleet, or reached otherwise, by name. */
  readonly urls?: Readonly<Record<string, string>>;
  /** Slots of each node as configured; without it they are learnt. */
  readonly slots?: number;
  readonly config?: Readonly<Record<string, unknown>>;
  readonly warmpath?: Partial<WarmpathOptions>;
}

const open: Arena[] = [];

/** A fleet of simulated nodes behind a whole Warmpath. */
export class Arena {
  readonly fleet: SimulatedFleet;
  readonly warmpath: RunningWarmpath;
  #countedBefore = 0;

  constructor(fleet: SimulatedFleet, warmpath: RunningWarmpath) {
    this.fleet = fleet;
    this.warmpath = warmpath;
  }

  get url(): string {
    return this.warmpath.url;
  }

  generate(request: Readonly<Record<string, unknown>> = {}, path = '/api/generate'): Promise<Answer> {
    return post(this.url + path, { model: MODEL, prompt: 'hello', options: { num_predict: 4 }, ...request });
  }

  async node(name: string): Promise<NodeReport> {
    const { nodes } = await this.warmpath.status();
    const found = nodes.find((node) => node.name === name);
    if (found === undefined) throw new Error(`no node ${name} in the status`);
    return found;
  }

  async waitForStatus(
    name: string,
    statuses: readonly NodeReport['status'][],
    timeoutMs = 15_000,
  ): Promise<void> {
    await waitFor(
      `${name} to be ${statuses.join(' or ')}`,
      async () => statuses.includes((await this.node(name)).status),
      {
        timeoutMs,
      },
    );
  }

  /** From now on ended requests are counted from zero. */
  async countFromHere(): Promise<void> {
    this.#countedBefore = await this.#ended();
    this.fleet.clearRequests();
  }

  /** Nothing is in flight any more, by any ledger of ours, within 5 s. */
  async settled(): Promise<void> {
    await waitFor('all in-flight figures to return to zero', () => this.#isIdle(), { timeoutMs: 5_000 });
  }

  /**
   * What clients sent is what was counted as ended; what Envoy says of attempts is what the nodes saw. `unseen` are
   * attempts that cannot have reached a node (refused or hanging connects).
   */
  async expectLedgersAgree(
    samples: readonly Sample[],
    { unseen = 0 }: { unseen?: number } = {},
  ): Promise<void> {
    await waitFor(
      'every request to be counted',
      async () => (await this.#ended()) - this.#countedBefore >= samples.length,
      {
        timeoutMs: 5_000,
      },
    );
    expect((await this.#ended()) - this.#countedBefore, 'requests counted').toBe(samples.length);
    const attempts = samples.reduce((sum, each) => sum + each.attempts, 0);
    expect(this.fleet.inference.length + unseen, 'attempts that nodes saw').toBe(attempts);
  }

  async close(): Promise<void> {
    await this.warmpath.end();
    await this.fleet.close();
  }

  /** Requests for a model that have ended. */
  #ended(): Promise<number> {
    return this.warmpath.metric('warmpath_requests_total', { path: '/api/generate' });
  }

  async #isIdle(): Promise<boolean> {
    for (const name of ['warmpath_leases_open', 'warmpath_node_inflight', 'warmpath_ext_proc_streams']) {
      if ((await this.warmpath.metric(name)) !== 0) return false;
    }
    const { nodes } = await this.warmpath.status();
    return nodes.every((node) => node.inflight === 0 && node.warm.every((model) => model.inflight === 0));
  }
}

export async function startArena(options: ArenaOptions = {}): Promise<Arena> {
  const { count = 4, common = {}, each, warm = true, urls = {}, slots, config = {} } = options;
  const fleet = await startFleet(count, { ...QUICK, ...common }, each);
  try {
    if (warm) await Promise.all(fleet.nodes.map((node) => node.load(MODEL)));
    const own = fleet.specs.map(({ name, url }) => ({ name, url: urls[name] ?? url }));
    const others = Object.entries(urls).filter(([name]) => !own.some((spec) => spec.name === name));
    const nodes = [...own, ...others.map(([name, url]) => ({ name, url }))];
    const listed = slots === undefined ? {} : { nodes: nodes.map((node) => ({ ...node, slots })) };
    const warmpath = await startWarmpath({
      nodes: slots === undefined ? nodes : [],
      config: { ...BRISK, ...listed, ...config },
      ...options.warmpath,
    });
    const arena = new Arena(fleet, warmpath);
    open.push(arena);
    if (slots !== undefined) await warmpath.waitForNodes();
    return arena;
  } catch (error) {
    await fleet.close();
    throw error;
  }
}

/** For afterEach. */
export async function closeArenas(): Promise<void> {
  for (const arena of open.splice(0)) await arena.close();
}

/** Asks `count` times, at once. */
export function ask(
  arena: Arena,
  count: number,
  body: unknown = generateBody(MODEL, 1024),
): Promise<Sample[]> {
  return Promise.all(Array.from({ length: count }, (_, i) => sample(arena.url + GENERATE, i, body)));
}
