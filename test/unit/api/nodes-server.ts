import type { AddressInfo } from 'node:net';
import { createAdminServer } from '../../../src/api/admin-server.ts';
import type { Config } from '../../../src/config/config.ts';
import { createDrains, type DrainsPart } from '../../../src/control-plane/drains.ts';
import type { NodeSpec } from '../../../src/fleet/types.ts';
import type { MemoryStore } from '../../../src/store/memory.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { aSharedStore, configured, DrainBench } from '../app/drains/bench.ts';
import { aSource } from './fake-source.ts';

export interface NodesServer {
  readonly url: string;
  readonly bench: DrainBench;
  readonly part: DrainsPart;
  readonly clock: FakeClock;
  readonly store: MemoryStore;
  close(): Promise<void>;
}

export interface NodesServerOptions {
  readonly adminHost?: string;
  readonly token?: () => string | undefined;
  readonly nodes?: readonly NodeSpec[];
}

/** The real admin server on a free loopback port, over the real registry and drains. */
export async function startNodesServer(options: NodesServerOptions = {}): Promise<NodesServer> {
  const clock = new FakeClock({ now: 1_000 });
  const store = aSharedStore(clock);
  const bench = new DrainBench(clock, store, options.nodes ?? configured('gpu1', 'gpu2'));
  const { fleet, registry, log } = bench;
  const config = (): Pick<Config, 'admin' | 'adminToken'> => {
    const token = options.token?.();
    const admin = { host: options.adminHost ?? '127.0.0.1', port: 9_411 };
    return token === undefined ? { admin } : { admin, adminToken: token };
  };
  const part = createDrains({
    store,
    replica: 'me',
    fleet,
    registry,
    inflight: (id) => bench.running(id),
    clock,
    log,
    config,
  });
  const stop = new AbortController();
  await bench.registry.load();
  await part.load();
  void bench.registry.run(stop.signal);
  void part.run(stop.signal);
  const source = aSource([], {
    records: () => [...fleet.nodes.values()],
    snapshot: () => fleet.snapshot(),
    date: () => clock.date(),
    now: () => clock.now(),
    inflight: () => ({
      onNode: (id) => bench.running(id),
      onModel: () => 0,
      nodesRunning: () => [],
      expectedEnds: () => [],
    }),
  });
  const server = createAdminServer(source, {
    address: '127.0.0.1:9411',
    allowedHosts: [],
    metrics: { contentType: 'text/plain', render: async () => '' },
    nodes: part.nodes,
    onError: (error) => {
      throw error;
    },
  });
  await server.listen({ host: '127.0.0.1', port: 0 });
  const { port } = server.server.address() as AddressInfo; // it listens on TCP
  return {
    url: `http://127.0.0.1:${port}`,
    bench,
    part,
    clock,
    store,
    close: async () => {
      await server.close();
      stop.abort();
      await clock.advance(1);
    },
  };
}
