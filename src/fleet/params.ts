/** What an operator may set about node health. All in ms but `downAfter`. */
export interface HealthParams {
  /** Failures in a row that make a node down; the first makes it suspect. */
  readonly downAfter: number;
  /** How long a node that failed must behave before it is ready again; doubles with each flap. */
  readonly readmitAfterMs: number;
  readonly readmitMaxMs: number;
  /** How long a recovered node is eased back in. */
  readonly slowStartMs: number;
}

/** Everything that the fleet's reducers and snapshot depend on. */
export type FleetParams = HealthParams;

export const DEFAULT_HEALTH: HealthParams = {
  downAfter: 2,
  readmitAfterMs: 2_000,
  readmitMaxMs: 300_000,
  slowStartMs: 30_000,
};
