import { z } from 'zod';
import { PROFILE_NAMES } from '../app/ext-proc-profile.ts';
import type { ExtProcFigures } from '../app/ext-proc-report.ts';

/** Where ext_proc is answered, for whom, and what is wrong with how it is asked. */
export const extProcSchema = z.object({
  profile: z.enum(PROFILE_NAMES),
  /** Where gRPC listens. */
  grpc: z.string(),
  tls: z.enum(['off', 'self-signed', 'files']),
  /** gRPC health on an address of its own. */
  health: z.string().nullable(),
  modes: z.array(z.object({ mode: z.string(), streams: z.number() })),
  problems: z.array(
    z.object({
      problem: z.string(),
      count: z.number(),
      lastAgeMs: z.number(),
      /** The address of the last that met it; null where that is not known. */
      from: z.string().nullable().default(null),
      remedy: z.string(),
    }),
  ),
});
export type ExtProcShown = z.infer<typeof extProcSchema>;

export interface ExtProcStanding extends ExtProcFigures, Pick<ExtProcShown, 'grpc' | 'tls'> {
  readonly health: string | undefined;
}

export function extProcShown(standing: ExtProcStanding, now: number): ExtProcShown {
  const { profile, grpc, tls, health, modes, problems } = standing;
  return {
    profile,
    grpc,
    tls,
    health: health ?? null,
    modes: modes.map((mode) => ({ ...mode })),
    problems: problems.map(({ problem, count, lastAt, from, remedy }) => ({
      problem,
      count,
      lastAgeMs: Math.max(0, now - lastAt),
      from: from ?? null,
      remedy,
    })),
  };
}
