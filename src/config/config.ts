import type { NodeSpec } from '../fleet/types.ts';
import type { OutcomeSource } from './resolve-ext-proc.ts';
import type { ResolvedStore } from './resolve-store.ts';
import type { Settings } from './schema.ts';

/** Where state is shared. Secrets are resolved: never print it whole. */
export type StoreConfig = Readonly<
  Omit<Settings['store'], keyof ResolvedStore | 'passwordFile'> & ResolvedStore
>;
/** `tlsCert` and `tlsKey` are absolute and belong together; `joinToken` is there wherever `listen` is. */
export type AgentsConfig = Readonly<Omit<Settings['agents'], 'joinTokenFile'>>;
/** `tlsCert` and `tlsKey` are absolute and belong together: they are there where `tls` is `files`. */
export type ExtProcConfig = Readonly<Omit<Settings['extProc'], 'outcomes'>> & {
  readonly outcomes: OutcomeSource;
};

/** `key` is resolved: never print it. */
export type ClientConfig = Readonly<Omit<Settings['clients'][number], 'key' | 'keyFile'>> & {
  readonly key: string;
};

/** The whole configuration, valid and complete. Durations in milliseconds, sizes in bytes. */
export type Config = Readonly<
  Omit<Settings, 'nodes' | 'stateDir' | 'store' | 'agents' | 'clients' | 'extProc' | 'adminTokenFile'>
> & {
  readonly nodes: readonly NodeSpec[];
  /** Absolute. */
  readonly stateDir: string;
  readonly store: StoreConfig;
  readonly agents: AgentsConfig;
  readonly extProc: ExtProcConfig;
  /** Names and keys are unique. */
  readonly clients: readonly ClientConfig[];
};
