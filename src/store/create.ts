import { join } from 'node:path';
import type { Log } from '../app/log.ts';
import type { Clock, Random } from '../app/ports.ts';
import type { StoreConfig } from '../config/config.ts';
import type { Store } from './contract.ts';
import { DocumentFile } from './memory/document-file.ts';
import { MemoryStore } from './memory.ts';
import { Connection } from './redis/connection.ts';
import { Keys } from './redis/keys.ts';
import { RedisStore } from './redis/redis-store.ts';
import { RejectedValues } from './redis/rejected-values.ts';
import { redisTarget } from './redis/target.ts';
import { NO_TELEMETRY, type StoreTelemetry } from './telemetry.ts';

export interface StoreOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Where documents are kept without Redis. */
  readonly stateDir: string;
  readonly telemetry?: StoreTelemetry;
}

/**
 * The store that the configuration asks for. Redis is connected in the background: a Redis that is down is no reason
 * not to start. Throws where the configuration cannot be used, with the remedy.
 */
export function createStore(config: StoreConfig, options: StoreOptions): Store {
  const { clock, random, log, stateDir, telemetry = NO_TELEMETRY } = options;
  if (config.kind === 'memory')
    return new MemoryStore(clock, { file: new DocumentFile(join(stateDir, 'documents.json'), log) });
  const target = redisTarget(config);
  const keys = new Keys(config.keyPrefix);
  const rejected = new RejectedValues(log, telemetry);
  const connection = new Connection({
    target,
    keys,
    clock,
    random,
    log,
    telemetry,
    timeoutMs: config.commandTimeout,
    onRejectedMessage: () => rejected.add('message', keys.toAll),
  });
  connection.start();
  return new RedisStore(connection, keys, rejected);
}
