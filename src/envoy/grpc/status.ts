/** The gRPC status codes that we answer with. */
export const STATUS = {
  ok: 0,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  resourceExhausted: 8,
  unimplemented: 12,
  internal: 13,
} as const;

export interface CallStatus {
  readonly code: (typeof STATUS)[keyof typeof STATUS];
  /** For the peer to read. */
  readonly details: string;
}

export const OK: CallStatus = { code: STATUS.ok, details: '' };
