/** CHAOS_SECONDS=3600 for the long run. */
export const CHAOS_SECONDS = Number(process.env.CHAOS_SECONDS ?? 15);
/** Another one gives another history; the same one gives the same as far as real time allows. */
export const CHAOS_SEED = Number(process.env.CHAOS_SEED ?? 20_261_121);
/** CHAOS_RESTARTS=50 for the long run. */
export const CHAOS_RESTARTS = Number(process.env.CHAOS_RESTARTS ?? 10);
