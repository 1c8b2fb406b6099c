import type { BootstrapOptions } from '../../../src/envoy/bootstrap/options.ts';
import { ControlPlane } from './control-plane.ts';
import { answerOk, ScriptedNode } from './scripted-node.ts';
import { type TestEndpoint, TestEnvoy } from './test-envoy.ts';

export interface StackOptions {
  readonly nodes?: number;
  /** Endpoints beside the scripted nodes. */
  readonly extra?: readonly TestEndpoint[];
  /** False: Envoy never sees a control plane. */
  readonly control?: boolean;
  readonly overrides?: Partial<BootstrapOptions>;
}

/** Scripted nodes, a scripted control plane and a real Envoy between them. */
export class Stack {
  readonly control = new ControlPlane();
  readonly nodes: ScriptedNode[] = [];
  readonly envoy: TestEnvoy;

  readonly #extra: readonly TestEndpoint[];

  private constructor(envoy: TestEnvoy, extra: readonly TestEndpoint[]) {
    this.envoy = envoy;
    this.#extra = extra;
  }

  static async start({
    nodes = 1,
    extra = [],
    control = true,
    overrides = {},
  }: StackOptions = {}): Promise<Stack> {
    const stack = new Stack(await TestEnvoy.create(overrides), extra);
    for (let i = 0; i < nodes; i++) {
      const node = new ScriptedNode();
      await node.start();
      stack.nodes.push(node);
    }
    stack.control.endpoints = stack.endpoints;
    await stack.envoy.lastKnown(stack.endpoints);
    if (control) await stack.control.start(stack.envoy.grpcSocket);
    await stack.envoy.start();
    return stack;
  }

  get endpoints(): TestEndpoint[] {
    const scripted = this.nodes.map((node, i) => ({
      name: `node-${i}`,
      port: node.port,
      token: `token-${i}`,
    }));
    return [...scripted, ...this.#extra];
  }

  /** The node at `i`; there are as many as were asked for. */
  node(i = 0): ScriptedNode {
    const node = this.nodes[i];
    if (node === undefined) throw new Error(`the stack has no node ${i}`);
    return node;
  }

  /** Requests that reached any node. */
  get reached(): number {
    return this.nodes.reduce((sum, { received }) => sum + received.length, 0);
  }

  /** Forgets what was seen and scripted so far. */
  reset(): void {
    for (const node of this.nodes) {
      node.received.length = 0;
      node.script = answerOk;
    }
    this.control.asked.length = 0;
    this.control.logged.length = 0;
    this.control.streams.length = 0;
  }

  post(
    path: string,
    body: string | Uint8Array<ArrayBuffer>,
    headers: Record<string, string> = {},
  ): Promise<Response> {
    return fetch(`${this.envoy.url}${path}`, { method: 'POST', body, headers });
  }

  async stop(): Promise<void> {
    await this.envoy.stop();
    this.control.stop();
    for (const node of this.nodes) await node.stop();
  }
}
