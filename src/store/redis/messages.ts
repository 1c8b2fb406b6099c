import { z } from 'zod';
import { type ReplicaId, StoreError, type StoreMessage } from '../contract.ts';
import { parseJson } from '../json.ts';
import { MAX_MESSAGE_BYTES } from '../limits.ts';

const messageSchema = z.object({
  from: z.string().min(1).max(128),
  to: z.string().min(1).max(128).optional(),
  topic: z.enum(['leases', 'observations', 'outcomes', 'documents']),
  body: z.unknown(),
});

/** Throws StoreError where it is too large. */
export function encodeMessage({ from, to, topic, body }: StoreMessage): string {
  const text = JSON.stringify({ from, to, topic, body });
  if (Buffer.byteLength(text) <= MAX_MESSAGE_BYTES) return text;
  throw new StoreError(
    'refused',
    `a message on ${topic} has more than ${MAX_MESSAGE_BYTES} bytes: send it in parts`,
  );
}

/** Whether this text, unread, is a message of that replica: all who write one name themselves first. */
export function isMessageOf(replica: ReplicaId, text: string): boolean {
  return text.startsWith(`{"from":${JSON.stringify(replica)},`);
}

/** Undefined where it is not what we write. */
export function decodeMessage(text: string): StoreMessage | undefined {
  if (text.length > MAX_MESSAGE_BYTES) return undefined;
  const { success, data } = messageSchema.safeParse(parseJson(text));
  return success ? { from: data.from, to: data.to, topic: data.topic, body: data.body } : undefined;
}
