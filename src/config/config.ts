import type { NodeSpec } from '../fleet/types.ts';
import type { Settings } from './schema.ts';

/** The whole configuration, valid and complete. Durations in milliseconds, sizes in bytes. */
export type Config = Readonly<Omit<Settings, 'nodes' | 'stateDir'>> & {
  readonly nodes: readonly NodeSpec[];
  /** Absolute. */
  readonly stateDir: string;
};
