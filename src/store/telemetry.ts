import type { StoreErrorReason, StoreState } from './contract.ts';

/** What the store tells the metrics. Calls are cheap, never throw, and take bounded label values only. */
export interface StoreTelemetry {
  /** One round trip to Redis, or one that was refused before it left. */
  storeCommand(name: string, result: 'ok' | StoreErrorReason, seconds: number): void;
  storeState(state: StoreState): void;
  /** A value in Redis was not what we write, and counts as absent. */
  storeValueRejected(kind: string): void;
}

export const NO_TELEMETRY: StoreTelemetry = {
  storeCommand: () => {},
  storeState: () => {},
  storeValueRejected: () => {},
};
