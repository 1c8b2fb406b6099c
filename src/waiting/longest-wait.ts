/** The longest wait that a client may ask for, whatever the configuration says. Envoy is told at start to allow as much. */
export const LONGEST_ASKED_WAIT_MS = 600_000;
