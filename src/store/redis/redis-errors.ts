import { StoreError, type StoreErrorReason } from '../contract.ts';

const MAX_TEXT = 200;

/**
 * A StoreError with a short text and without the original: ioredis hangs the whole command on its errors, with its
 * arguments, and one of those may be the password.
 */
export function storeErrorOf(error: unknown): StoreError {
  if (error instanceof StoreError) return error;
  const text = textOf(error).split('\n', 1)[0]?.slice(0, MAX_TEXT);
  return new StoreError(reasonOf(error, text ?? ''), `Redis: ${text || 'no reason given'}`);
}

function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // A cluster that cannot be reached at all says only with this what is wrong with its nodes.
  const last =
    'lastNodeError' in error && error.lastNodeError instanceof Error ? error.lastNodeError : undefined;
  return last === undefined ? error.message : `${error.message} ${last.message}`;
}

function reasonOf(error: unknown, text: string): StoreErrorReason {
  if (!(error instanceof Error) || error.name !== 'ReplyError') return 'disconnected';
  if (text.startsWith('WRONGTYPE')) return 'corrupt';
  return 'refused';
}

/** The first word of what Redis said, such as READONLY; '' where it said nothing of the kind. */
export function replyCode({ message }: StoreError): string {
  return /^Redis: ([A-Z][A-Z0-9]{2,24})(?= |$)/.exec(message)?.[1] ?? '';
}

/** What a whole server answers that is a replica, full, loading, or cut off: the next write would fare no better. */
const SERVER_WIDE: ReadonlySet<string> = new Set([
  'READONLY',
  'OOM',
  'LOADING',
  'MASTERDOWN',
  'CLUSTERDOWN',
  'MISCONF',
  'NOREPLICAS',
  'NOAUTH',
]);

export function isServerWide(error: StoreError): boolean {
  return SERVER_WIDE.has(replyCode(error));
}
