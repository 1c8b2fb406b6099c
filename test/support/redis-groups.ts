import { freePort } from './free-port.ts';
import { type RealRedis, type RedisOptions, startRedis } from './redis.ts';
import { waitFor } from './wait-for.ts';

export interface SentinelGroup {
  readonly master: RealRedis;
  readonly replica: RealRedis;
  readonly sentinels: readonly RealRedis[];
  /** Port of the present master, as the Sentinels have it. */
  masterPort(): Promise<number>;
  stop(): Promise<void>;
}

/** One master, one replica, and three Sentinels that agree within about a second that a master is dead. */
export async function startSentinelGroup(program: string): Promise<SentinelGroup> {
  const master = await startRedis(program);
  const replica = await startRedis(program, { config: [`replicaof 127.0.0.1 ${master.port}`] });
  const watch = [
    `sentinel monitor mymaster 127.0.0.1 ${master.port} 2`,
    'sentinel down-after-milliseconds mymaster 1000',
    'sentinel failover-timeout mymaster 5000',
  ];
  const sentinels: RealRedis[] = [];
  for (let i = 0; i < 3; i++) sentinels.push(await startRedis(program, { isSentinel: true, config: watch }));
  const [first] = sentinels;
  if (first === undefined) throw new Error('no Sentinel was started');
  await waitFor(
    'the Sentinels to know the replica and one another',
    async () => {
      const known = await first.send('SENTINEL', 'master', 'mymaster');
      return /num-slaves\r\n\$1\r\n1/.test(known) && /num-other-sentinels\r\n\$1\r\n2/.test(known);
    },
    { timeoutMs: 30_000 },
  );
  return {
    master,
    replica,
    sentinels,
    masterPort: async () => {
      const address = await first.send('SENTINEL', 'get-master-addr-by-name', 'mymaster');
      return Number(/(\d+)$/.exec(address)?.[1]);
    },
    stop: async () => {
      await Promise.all([...sentinels, master, replica].map((server) => server.stop()));
    },
  };
}

export interface RedisCluster {
  readonly masters: readonly RealRedis[];
  flush(): Promise<void>;
  stop(): Promise<void>;
}

const SLOTS = 16_384;

/** Three masters that share the slots; no replicas. */
export async function startCluster(
  program: string,
  { config: extra = [] }: Pick<RedisOptions, 'config'> = {},
): Promise<RedisCluster> {
  const masters: RealRedis[] = [];
  const busPorts = [];
  for (let i = 0; i < 3; i++) {
    const busPort = await freePort();
    busPorts.push(busPort);
    const config = [
      'cluster-enabled yes',
      'cluster-config-file nodes.conf',
      `cluster-port ${busPort}`,
      'cluster-node-timeout 2000',
      ...extra,
    ];
    masters.push(await startRedis(program, { config }));
  }
  for (const [i, master] of masters.entries()) {
    const [from, to] = [i, i + 1].map((part) => Math.round((SLOTS / 3) * part));
    await master.send('CLUSTER', 'ADDSLOTSRANGE', String(from), String((to ?? SLOTS) - 1));
    for (const [j, other] of masters.entries())
      if (j !== i) await master.send('CLUSTER', 'MEET', '127.0.0.1', String(other.port), String(busPorts[j]));
  }
  await waitFor(
    'the cluster to be complete',
    async () => {
      const states = await Promise.all(masters.map((master) => master.send('CLUSTER', 'INFO')));
      return states.every(
        (state) => state.includes('cluster_state:ok') && state.includes('cluster_known_nodes:3'),
      );
    },
    { timeoutMs: 30_000 },
  );
  return {
    masters,
    flush: async () => {
      await Promise.all(masters.map((master) => master.send('FLUSHALL')));
    },
    stop: async () => {
      await Promise.all(masters.map((master) => master.stop()));
    },
  };
}
