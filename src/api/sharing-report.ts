import { z } from 'zod';

/** Where state is shared, and with whom. */
export const sharingSchema = z.object({
  store: z.object({ kind: z.enum(['memory', 'redis']), state: z.enum(['connecting', 'up', 'down']) }),
  /** Live control planes as of the last heartbeat, this one first. */
  replicas: z.array(
    z.object({
      id: z.string(),
      version: z.string(),
      startedAt: z.string(),
      inflight: z.number(),
      hasEnvoy: z.boolean(),
    }),
  ),
  /** ISO 8601 of the last heartbeat that the store took; null: none yet, or none is needed. */
  heartbeatAt: z.string().nullable(),
});

export type SharingReport = z.infer<typeof sharingSchema>;
