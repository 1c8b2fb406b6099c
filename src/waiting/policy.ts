/** How the line is kept. */
export interface LinePolicy {
  /** Requests in the line at once. */
  readonly maxRequests: number;
  /** Memory that they may hold, bytes. */
  readonly maxBytes: number;
  /** So long in the line counts as much as one class, ms. */
  readonly ageingMs: number;
}

export const DEFAULT_LINE: LinePolicy = {
  maxRequests: 1_000,
  maxBytes: 256 * 1024 ** 2,
  ageingMs: 10_000,
};
