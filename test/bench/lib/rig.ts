import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { requireEnvoy } from '../../support/envoy.ts';
import { freePort } from '../../support/free-port.ts';
import { type RunningWarmpath, startWarmpath } from '../../support/warmpath.ts';
import { writeBareBootstrap } from './bare-envoy.ts';
import { cpuSeconds } from './cpu.ts';
import { buildTool, type LoadResult, runLoad } from './tools.ts';

/** The one model of the mock nodes. */
export const MODEL = 'llama3.2:1b';

export interface MockNode {
  readonly host: string;
  readonly port: number;
}

/** An Envoy, and who tells it where requests go; process ids. */
export interface Contender {
  readonly url: string;
  readonly envoy: number;
  readonly picker?: number | undefined;
}

export interface Load {
  readonly path: string;
  readonly clients: number;
  readonly bodyBytes: number;
  readonly seconds: number;
  /** Further arguments of loadgen. */
  readonly args?: readonly string[];
}

export interface Sample {
  readonly load: LoadResult;
  /** CPU milliseconds per request. */
  readonly envoyCpuMs: number;
  readonly pickerCpuMs: number;
}

/** What all comparisons need: mock nodes, Envoys of one worker, load, and the CPU that it costs. Ends what it started. */
export class BenchRig {
  readonly dir = mkdtempSync(join(tmpdir(), 'warmpath-bench-'));
  readonly #loadgen = buildTool('loadgen', this.dir);
  readonly #mock = buildTool('mockollama', this.dir);
  readonly #ends: (() => unknown)[] = [() => rmSync(this.dir, { recursive: true, force: true })];

  /** Runs the benchmark; ends what it has started, however it goes. */
  static async run(bench: (rig: BenchRig) => Promise<void>): Promise<void> {
    const rig = new BenchRig();
    try {
      await bench(rig);
    } finally {
      for (const end of rig.#ends.reverse()) await end();
    }
  }

  /** Two nodes that answer at once, or with this delay before each token (as loadgen's tools write it: `20ms`). */
  async startNodes(delay = '0'): Promise<readonly MockNode[]> {
    const nodes = [await freePort(), await freePort()].map((port) => ({ host: '127.0.0.1', port }));
    for (const { port } of nodes)
      await this.start(this.#mock, ['-addr', `127.0.0.1:${port}`, '-models', MODEL, '-delay', delay], port);
    return nodes;
  }

  /** Envoy that only proxies. */
  async startBare(nodes: readonly MockNode[]): Promise<Contender> {
    const port = await freePort();
    return await this.startEnvoy(writeBareBootstrap(this.dir, port, nodes), port);
  }

  async startWarmpath(nodes: readonly MockNode[]): Promise<RunningWarmpath> {
    const config = { nodes: openNodes(nodes), envoy: { concurrency: 1 } };
    const warmpath = await startWarmpath({ nodes: [], config });
    this.#ends.push(() => warmpath.stop());
    return warmpath;
  }

  async startEnvoy(file: string, port: number, picker?: number): Promise<Contender> {
    const args = ['-c', file, '--concurrency', '1', '--disable-hot-restart', '-l', 'error'];
    const envoy = await this.start(await requireEnvoy(), args, port);
    return { url: `http://127.0.0.1:${port}`, envoy, picker };
  }

  /** Its process id, once it listens. */
  async start(command: string, args: readonly string[], port: number): Promise<number> {
    const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'ignore'] });
    this.#ends.push(async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    });
    for (let tries = 0; tries < 400; tries += 1) {
      if (child.exitCode !== null) throw new Error(`${command} ended with ${child.exitCode}`);
      if (child.pid !== undefined && (await listens(port))) return child.pid;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error(`${command} does not listen on port ${port}`);
  }

  async measure({ url, envoy, picker }: Contender, load: Load): Promise<Sample> {
    const cpu = () => ({ envoy: cpuSeconds(envoy), picker: picker === undefined ? 0 : cpuSeconds(picker) });
    const args = ['-url', url + load.path, '-model', MODEL, '-c', String(load.clients)];
    args.push('-body', String(load.bodyBytes), '-d', `${load.seconds}s`, ...(load.args ?? []));
    const before = cpu();
    const result = await runLoad(this.#loadgen, args);
    const after = cpu();
    const done = Math.max(1, result.ok + result.errors);
    return {
      load: result,
      envoyCpuMs: ((after.envoy - before.envoy) * 1000) / done,
      pickerCpuMs: ((after.picker - before.picker) * 1000) / done,
    };
  }

  /**
   * Samples of each contender under the load, rounds interleaved, another one first each time: what the machine does meanwhile
   * must not hit always the same. A first round is not counted: code is compiled and connections are opened.
   */
  async compare<Name extends string>(
    contenders: Readonly<Record<Name, Contender>>,
    load: Load,
    rounds: number,
  ): Promise<Record<Name, Sample[]>> {
    const names = Object.keys(contenders) as Name[]; // sound: an object literal's own keys
    const samples = Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<Name, Sample[]>;
    for (const name of names) await this.measure(contenders[name], load);
    for (let round = 0; round < rounds; round += 1) {
      for (const [i] of names.entries()) {
        const name = names[(i + round) % names.length];
        if (name !== undefined) samples[name].push(await this.measure(contenders[name], load));
      }
    }
    return samples;
  }
}

export interface Scenario {
  readonly name: string;
  readonly clients: number;
  readonly bodyBytes: number;
  readonly isStreamed?: true;
}

/**
 * Compares the scenarios named, all where none is (`A,B`). Those that are streamed have nodes of their own, which take 20 ms for each
 * token.
 */
export function runScenarios<S extends Scenario>(
  scenarios: readonly S[],
  only: string | undefined,
  compare: (rig: BenchRig, nodes: readonly MockNode[], scenarios: readonly S[]) => Promise<void>,
): Promise<void> {
  const wanted = only?.split(',');
  const chosen = scenarios.filter(({ name }) => wanted === undefined || wanted.includes(name));
  const quick = chosen.filter(({ isStreamed }) => isStreamed !== true);
  const streamed = chosen.filter(({ isStreamed }) => isStreamed === true);
  return BenchRig.run(async (rig) => {
    if (quick.length > 0) await compare(rig, await rig.startNodes(), quick);
    if (streamed.length > 0) await compare(rig, await rig.startNodes('20ms'), streamed);
  });
}

/** As a configuration has them. The mock nodes answer any number of requests at once: nothing shall wait for a slot. */
export function openNodes(nodes: readonly MockNode[]) {
  return nodes.map(({ host, port }, i) => ({
    name: `n${i + 1}`,
    url: `http://${host}:${port}`,
    slots: 4_096,
  }));
}

export function shareOfBare(bare: readonly Sample[], of: readonly Sample[]): number[] {
  return of.map(({ load }, i) => load.rps / (bare[i]?.load.rps ?? Number.NaN));
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
