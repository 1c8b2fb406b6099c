import { StoreError, type StoreErrorReason } from '../contract.ts';

const MAX_TEXT = 200;
const REPLY = /^(?:[A-Z][A-Z0-9]{2,24})(?= |$)/;

/**
 * A StoreError with a short text and without the original: ioredis hangs the whole command on its errors, with its
 * arguments, and one of those may be the password.
 */
export function storeErrorOf(error: unknown): StoreError {
  if (error instanceof StoreError) return error;
  const text = (error instanceof Error ? error.message : String(error)).split('\n', 1)[0]?.slice(0, MAX_TEXT);
  return new StoreError(reasonOf(error, text ?? ''), `Redis: ${text || 'no reason given'}`);
}

function reasonOf(error: unknown, text: string): StoreErrorReason {
  if (!(error instanceof Error) || error.name !== 'ReplyError') return 'disconnected';
  if (text.startsWith('WRONGTYPE')) return 'corrupt';
  return 'refused';
}

/** Errors that every command would meet: the server is a replica, full, loading, or its cluster is incomplete. */
export function isServerWide(error: StoreError): boolean {
  if (error.reason === 'timeout' || error.reason === 'disconnected') return true;
  const code = REPLY.exec(error.message.slice('Redis: '.length))?.[0] ?? '';
  return ['READONLY', 'LOADING', 'MASTERDOWN', 'CLUSTERDOWN', 'MISCONF', 'NOREPLICAS', 'NOAUTH'].includes(
    code,
  );
}
