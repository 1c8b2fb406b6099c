import type { AttemptResult, EndedRequest, ReloadResult, Telemetry } from '../../src/app/telemetry-port.ts';
import type { FailureReason, NodeId } from '../../src/fleet/types.ts';
import type { ErrorCode } from '../../src/request/errors.ts';
import type { PickReason } from '../../src/routing/types.ts';

/** Keeps what the use cases tell the metrics. */
export class RecordingTelemetry implements Telemetry {
  readonly reasons: PickReason[] = [];
  readonly refusals: ErrorCode[] = [];
  readonly attempts: string[] = [];
  readonly endings: EndedRequest[] = [];
  readonly failedPolls: string[] = [];
  readonly reloads: ReloadResult[] = [];
  reaped = 0;

  decided(reason: PickReason): void {
    this.reasons.push(reason);
  }
  refused(code: ErrorCode): void {
    this.refusals.push(code);
  }
  /** Written `n1 refused`. */
  attempt(node: NodeId, result: AttemptResult): void {
    this.attempts.push(`${node} ${result}`);
  }
  ended(outcome: EndedRequest): void {
    this.endings.push(outcome);
  }
  leaseReaped(): void {
    this.reaped += 1;
  }
  pollFailed(node: NodeId, reason: FailureReason): void {
    this.failedPolls.push(`${node} ${reason}`);
  }
  configReloaded(result: ReloadResult): void {
    this.reloads.push(result);
  }
}
