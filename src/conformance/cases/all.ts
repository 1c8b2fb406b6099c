import type { Case } from '../case.ts';
import { BUFFERED } from './buffered.ts';
import { DESTINATION } from './destination.ts';
import { DRAIN } from './drain.ts';
import { DUPLEX } from './duplex.ts';
import { HEADERS_ONLY } from './headers-only.ts';
import { HEALTH } from './health.ts';
import { ISOLATION } from './isolation.ts';
import { REFUSALS } from './refusals.ts';
import { RESPONSE } from './response.ts';
import { SERVED } from './served.ts';
import { SUBSET } from './subset.ts';

/** In the order in which they run: those that end the picker last. */
export const CASES: readonly Case[] = [
  ...HEALTH,
  ...HEADERS_ONLY,
  ...DESTINATION,
  ...DUPLEX,
  ...BUFFERED,
  ...SUBSET,
  ...RESPONSE,
  ...SERVED,
  ...REFUSALS,
  ...ISOLATION,
  ...DRAIN,
];
