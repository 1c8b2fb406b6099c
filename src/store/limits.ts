/** Leases of a replica that has not sent a heartbeat yet end after this long. */
export const UNANNOUNCED_TTL_MS = 10_000;
/** Larger messages are refused: every replica reads every one of them. */
export const MAX_MESSAGE_BYTES = 1024 * 1024;
/** Larger documents, and facts of one node, are refused, and count as absent where somebody else wrote them. */
export const MAX_VALUE_BYTES = 1024 * 1024;
/** A claim of a slot is decided within this time; a replica that dies over it blocks nobody for longer. */
export const CLAIM_TTL_MS = 1_000;
