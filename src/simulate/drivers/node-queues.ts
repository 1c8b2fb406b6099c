import type { ModelKey, NodeId } from '../../fleet/types.ts';
import type { RivalPolicy } from '../../routing/rivals/types.ts';
import type { RivalWaiter } from './rival.ts';

/** Queues of a rival for each node and model, and its rebalancer. */
export class NodeQueues {
  readonly #rebalance: RivalPolicy['rebalance'];
  readonly #byNode = new Map<NodeId, Map<ModelKey, RivalWaiter[]>>();

  constructor(rebalance: RivalPolicy['rebalance']) {
    this.#rebalance = rebalance;
  }

  length(node: NodeId, model?: ModelKey): number {
    const queues = this.#byNode.get(node);
    if (queues === undefined) return 0;
    if (model !== undefined) return queues.get(model)?.length ?? 0;
    let length = 0;
    for (const queue of queues.values()) length += queue.length;
    return length;
  }

  add(node: NodeId, model: ModelKey, waiter: RivalWaiter): void {
    let queues = this.#byNode.get(node);
    if (queues === undefined) {
      queues = new Map();
      this.#byNode.set(node, queues);
    }
    const queue = queues.get(model);
    if (queue === undefined) queues.set(model, [waiter]);
    else queue.push(waiter);
  }

  take(node: NodeId, model: ModelKey): RivalWaiter | undefined {
    return this.#byNode.get(node)?.get(model)?.shift();
  }

  remove(waiter: RivalWaiter): void {
    for (const queues of this.#byNode.values()) {
      const queue = queues.get(waiter.request.request.model.key);
      const at = queue?.indexOf(waiter) ?? -1;
      if (at >= 0) queue?.splice(at, 1);
    }
  }

  /** Takes out those that wait for nodes that are no longer there. */
  leftBehind(nodes: ReadonlyMap<NodeId, unknown>): RivalWaiter[] {
    const left: RivalWaiter[] = [];
    for (const [node, queues] of this.#byNode) {
      if (nodes.has(node)) continue;
      for (const queue of queues.values()) left.push(...queue);
      this.#byNode.delete(node);
    }
    return left;
  }

  /** Moves waiting requests from long queues to nodes that have the model in memory; answers where they went. */
  rebalance(warmNodes: (model: ModelKey) => readonly NodeId[]): { node: NodeId; model: ModelKey }[] {
    const rules = this.#rebalance;
    if (rules === undefined) return [];
    const moved: { node: NodeId; model: ModelKey }[] = [];
    for (const [from, queues] of this.#byNode) {
      for (const [model, queue] of queues) {
        if (queue.length < rules.from) continue;
        for (let moves = 0; moves < rules.most && queue.length >= rules.from; moves += 1) {
          const to = this.#shortest(warmNodes(model), from, model, rules.from);
          const waiter = to === undefined ? undefined : queue.pop();
          if (to === undefined || waiter === undefined) break;
          this.add(to, model, waiter);
          moved.push({ node: to, model });
        }
      }
    }
    return moved;
  }

  #shortest(nodes: readonly NodeId[], not: NodeId, model: ModelKey, below: number): NodeId | undefined {
    let best: NodeId | undefined;
    for (const node of nodes) {
      if (node === not || this.length(node, model) >= below) continue;
      if (best === undefined || this.length(node, model) < this.length(best, model)) best = node;
    }
    return best;
  }
}
