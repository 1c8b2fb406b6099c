import type { Log } from '../../app/log.ts';
import type { StoreTelemetry } from '../telemetry.ts';

/** What kinds of values Redis holds; bounded, for metrics. */
export type ValueKind = 'replicas' | 'leases' | 'nodes' | 'documents' | 'message';

/** Values that are not what we write count as absent: each is counted, and each kind is said once. */
export class RejectedValues {
  readonly #log: Log;
  readonly #telemetry: StoreTelemetry;
  readonly #said = new Set<ValueKind>();

  constructor(log: Log, telemetry: StoreTelemetry) {
    this.#log = log;
    this.#telemetry = telemetry;
  }

  add(kind: ValueKind, where: string): void {
    this.#telemetry.storeValueRejected(kind);
    if (this.#said.has(kind)) return;
    this.#said.add(kind);
    this.#log.warn(
      { kind, where: where.slice(0, 200) },
      'Redis holds something that Warmpath did not write; it counts as absent and is replaced by the next write. ' +
        'Does another program, or another version, use the same keyPrefix?',
    );
  }
}
