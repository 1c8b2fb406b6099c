import type { NodeRoutesOptions } from '../api/nodes-routes.ts';
import { isLoopbackHost } from '../app/destination.ts';
import { Drains, type DrainsOptions } from '../app/drains/drains.ts';
import type { NodeAdmin, NodeRegistry } from '../app/registry/registry-types.ts';
import type { Config } from '../config/config.ts';

export interface DrainsDependencies extends Omit<DrainsOptions, 'registry'> {
  readonly registry: Pick<NodeRegistry, 'get' | 'list' | 'approve' | 'remove'>;
  /** The configuration of this moment. */
  readonly config: () => Pick<Config, 'admin' | 'adminToken'>;
}

export interface DrainsPart {
  /** Takes what agents want; `of` says why a node drains. */
  readonly drains: Drains;
  readonly admin: NodeAdmin;
  /** For `createAdminServer`. */
  readonly nodes: NodeRoutesOptions;
  /** Before the first request is routed: what was drained stays so. Never rejects. */
  load(): Promise<void>;
  run(signal: AbortSignal): Promise<void>;
}

/** Drains and what operators may do to nodes, over the registry. */
export function createDrains(deps: DrainsDependencies): DrainsPart {
  const { registry, log, config } = deps;
  const drains = new Drains(deps);
  const admin: NodeAdmin = {
    list: () => registry.list(),
    approve: async (id) => {
      await registry.approve(id);
    },
    remove: async (id) => {
      await registry.remove(id);
      await drains.forget(id);
    },
    drain: (id, request) => drains.drain(id, request),
    undrain: (id) => drains.undrain(id),
  };
  return {
    drains,
    admin,
    nodes: {
      admin,
      log,
      // The address is bound once; the token may change.
      isExposed: !isLoopbackHost(config().admin.host),
      token: () => config().adminToken,
    },
    load: () => drains.load(),
    run: (signal) => drains.run(signal),
  };
}
