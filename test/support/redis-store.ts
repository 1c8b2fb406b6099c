import type { Clock } from '../../src/app/ports.ts';
import { SystemClock } from '../../src/app/system-clock.ts';
import type { StoreConfig } from '../../src/config/config.ts';
import type { Store, StoreState } from '../../src/store/contract.ts';
import { createStore } from '../../src/store/create.ts';
import type { StoreTelemetry } from '../../src/store/telemetry.ts';
import { MemoryLog } from './memory-log.ts';
import { waitFor } from './wait-for.ts';

/** What the configuration says when only `kind: redis` is given; a test adds where it is. */
export const STORE_CONFIG: StoreConfig = {
  kind: 'redis',
  url: undefined,
  keyPrefix: 'warmpath:',
  username: undefined,
  password: undefined,
  tls: false,
  tlsCa: undefined,
  sentinels: [],
  sentinelName: 'mymaster',
  clusterNodes: [],
  // Redis shares a busy machine with the test: what it does late is not what is tested here.
  commandTimeout: 2_000,
};

/** Keeps what the store tells the metrics. */
export class RecordingStoreTelemetry implements StoreTelemetry {
  readonly commands: string[] = [];
  readonly states: StoreState[] = [];
  readonly rejected: string[] = [];
  /** Written `beat ok`. */
  storeCommand(name: string, result: string): void {
    this.commands.push(`${name} ${result}`);
  }
  storeState(state: StoreState): void {
    this.states.push(state);
  }
  storeValueRejected(kind: string): void {
    this.rejected.push(kind);
  }
}

/** A store on a real Redis, not necessarily connected yet, and what it says. */
export function openRedisStore(config: Partial<StoreConfig>, clock: Clock = new SystemClock()) {
  const log = new MemoryLog();
  const telemetry = new RecordingStoreTelemetry();
  const store = createStore(
    { ...STORE_CONFIG, ...config },
    { clock, random: Math.random, log, telemetry, stateDir: '/nonexistent' },
  );
  return { store, log, telemetry };
}

export async function isUp(store: Store, timeoutMs = 15_000): Promise<void> {
  await waitFor('the store to be up', () => store.state === 'up', { timeoutMs });
}
