/** How long nothing has to come before it counts as silence where nothing is owed. */
export const QUIET_MS = 200;
