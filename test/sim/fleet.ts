import { fileURLToPath } from 'node:url';
import {
  type SimulatedNode,
  type SimulatedNodeOptions,
  startSimulatedNode,
} from '../../src/demo/node-simulator.ts';
import type { RecordedRequest } from '../../src/demo/request-log.ts';
import { type SpawnedProcess, spawnProcess } from '../support/spawn-process.ts';

/** Several simulated nodes in this process. */
export class SimulatedFleet {
  /** In the order in which they were asked for. */
  readonly nodes: readonly SimulatedNode[];

  constructor(nodes: readonly SimulatedNode[]) {
    this.nodes = nodes;
  }

  node(name: string): SimulatedNode {
    const found = this.nodes.find((node) => node.name === name);
    if (found === undefined) throw new Error(`there is no node ${name}`);
    return found;
  }

  /** What `startWarmpath` wants. */
  get specs(): { name: string; url: string }[] {
    return this.nodes.map(({ name, url }) => ({ name, url }));
  }

  /** All requests that needed a model, oldest first, with the node that got them. */
  get inference(): (RecordedRequest & { readonly node: string })[] {
    return this.nodes
      .flatMap((node) => node.inferenceRequests.map((request) => ({ ...request, node: node.name })))
      .sort((a, b) => a.startedAt - b.startedAt);
  }

  /** Requests to anything but inference and the reads that a poller makes: none may ever reach a node. */
  get forbidden(): RecordedRequest[] {
    const harmless = /^(\/|\/api\/(version|tags|ps|generate|chat|embed|embeddings|show)|\/v1\/.*)$/;
    return this.nodes.flatMap((node) => node.requests.filter((request) => !harmless.test(request.path)));
  }

  clearRequests(): void {
    for (const node of this.nodes) node.clearRequests();
  }

  async close(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.close()));
  }
}

/** Starts nodes named `n1`, `n2` and so on, alike but for what `each` says. */
export async function startFleet(
  count: number,
  common: Omit<SimulatedNodeOptions, 'name'>,
  each: (index: number) => Partial<SimulatedNodeOptions> = () => ({}),
): Promise<SimulatedFleet> {
  const nodes = Array.from({ length: count }, (_, index) =>
    startSimulatedNode({ name: `n${index + 1}`, ...common, ...each(index) }),
  );
  return new SimulatedFleet(await Promise.all(nodes));
}

/** A node in a process of its own: for SIGKILL, SIGSTOP and SIGCONT. */
export interface NodeProcess {
  readonly name: string;
  readonly url: string;
  readonly process: SpawnedProcess;
}

export async function spawnNode(options: SimulatedNodeOptions): Promise<NodeProcess> {
  const script = fileURLToPath(new URL('./node-process.ts', import.meta.url));
  const child = spawnProcess(process.execPath, [script, JSON.stringify(options)]);
  const [, url = ''] = await child.waitForOutput(/serving (\S+)/);
  return { name: options.name, url, process: child };
}
