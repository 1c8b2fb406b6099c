import { dirname } from 'node:path';
import { type FSWatcher, watch as watchPaths } from 'chokidar';
import { fingerprintOf } from '../app/fingerprint.ts';
import type { Clock } from '../app/ports.ts';
import { tlsKeys } from '../fleet/node-tls.ts';
import type { Config } from './config.ts';
import { type ConfigDiff, diffConfig, isEmptyDiff } from './diff.ts';
import type { LoadedConfig } from './load.ts';
import { ConfigError } from './problem.ts';

/** A change must rest this long before it is read: editors and copies write in several steps. */
const QUIET_MS = 250;
/** Under a storm of changes the file is read at least this often. */
const MAX_WAIT_MS = 2_000;
/** File systems that report no changes (NFS, some containers) are looked at this often. */
const LOOK_INTERVAL_MS = 10_000;

export type ReloadResult =
  | { readonly kind: 'applied'; readonly diff: ConfigDiff }
  | { readonly kind: 'unchanged' }
  /** The old configuration stays. `reason` may have several lines. */
  | { readonly kind: 'refused'; readonly reason: string };

export interface WatchOptions {
  /** Reads and validates everything anew; rejects with ConfigError. */
  readonly load: () => Promise<LoadedConfig>;
  readonly initial: LoadedConfig;
  /** Makes the difference take effect. A rejection counts as refused, and the old configuration stays. */
  readonly apply: (diff: ConfigDiff) => Promise<void> | void;
  /** Hears of every reload that was asked for or that changed or failed. */
  readonly onResult: (result: ReloadResult) => void;
  readonly clock: Clock;
}

/** Keeps the running configuration in step with its files. */
export interface ConfigWatcher {
  /** Reloads now (SIGHUP, an admin's request); calls during a reload share the next one. */
  reload(): Promise<ReloadResult>;
  /** Resolves when file changes are heard. */
  readonly ready: Promise<void>;
  close(): Promise<void>;
}

/** Watches the files of `initial` and reloads when they change. A bad file changes nothing and is reported. */
export function watchConfig(options: WatchOptions): ConfigWatcher {
  return new Watcher(options);
}

class Watcher implements ConfigWatcher {
  readonly ready: Promise<void>;
  readonly #options: WatchOptions;
  /** One for each directory: a single one overlooks a directory within another that it watches. */
  readonly #directories = new Map<string, FSWatcher>();
  readonly #knownTls: ReadonlySet<string>;
  readonly #stop = new AbortController();
  #current: LoadedConfig;
  #files: readonly string[];
  #fingerprint = '';
  #running: Promise<ReloadResult> | undefined;
  #queued: Promise<ReloadResult> | undefined;
  #cancelQuiet = (): void => {};
  #firstChangeAt: number | undefined;
  #looking: Promise<void>;

  constructor(options: WatchOptions) {
    this.#options = options;
    this.#current = options.initial;
    this.#files = options.initial.files;
    this.#knownTls = tlsKeys(options.initial.config.nodes);
    this.ready = this.#watchDirectories().then(async () => {
      // What changed between the load and this moment was not heard.
      await this.#enqueue(false);
    });
    this.#looking = this.#look();
  }

  reload(): Promise<ReloadResult> {
    return this.#enqueue(true);
  }

  async close(): Promise<void> {
    this.#stop.abort();
    this.#cancelQuiet();
    await Promise.all([...this.#directories.values()].map((watcher) => watcher.close()));
    await this.#looking;
    await this.#queued;
    await this.#running;
  }

  #changed(): void {
    const { clock } = this.#options;
    if (this.#stop.signal.aborted) return;
    this.#firstChangeAt ??= clock.now();
    this.#cancelQuiet();
    const wait = Math.min(QUIET_MS, Math.max(0, this.#firstChangeAt + MAX_WAIT_MS - clock.now()));
    this.#cancelQuiet = clock.after(wait, () => {
      this.#firstChangeAt = undefined;
      void this.#enqueue(false);
    });
  }

  /** One reload runs at a time; whoever asks during it gets the one after it, which sees the newest files. */
  #enqueue(isAsked: boolean): Promise<ReloadResult> {
    if (this.#running === undefined) {
      this.#running = this.#reload(isAsked).finally(() => {
        this.#running = undefined;
      });
      return this.#running;
    }
    this.#queued ??= this.#running.then(() => {
      this.#queued = undefined;
      return this.#enqueue(isAsked);
    });
    return this.#queued;
  }

  async #reload(isAsked: boolean): Promise<ReloadResult> {
    const fingerprint = await fingerprintOf(this.#files);
    if (!isAsked && fingerprint === this.#fingerprint) return { kind: 'unchanged' };
    this.#fingerprint = fingerprint;
    const result = await this.#attempt();
    const isNews = isAsked || result.kind !== 'unchanged';
    if (isNews && !this.#stop.signal.aborted) this.#options.onResult(result);
    return result;
  }

  async #attempt(): Promise<ReloadResult> {
    if (this.#stop.signal.aborted) return { kind: 'refused', reason: 'shutting down' };
    const before = this.#current.config;
    try {
      const loaded = await this.#options.load();
      if (before.nodes.length > 0 && !mayHaveNodes(loaded.config)) {
        return {
          kind: 'refused',
          reason: `it names no node any more; the ${before.nodes.length} known ones stay`,
        };
      }
      this.#follow(loaded.files);
      const diff = diffConfig(before, loaded.config, this.#knownTls);
      if (isEmptyDiff(diff) && diff.needsRestart.length === 0) return { kind: 'unchanged' };
      if (!isEmptyDiff(diff)) await this.#options.apply(diff);
      this.#current = { ...loaded, config: diff.applied };
      return { kind: 'applied', diff };
    } catch (error) {
      if (error instanceof ConfigError) return { kind: 'refused', reason: error.inOneLine };
      return { kind: 'refused', reason: error instanceof Error ? error.message : 'unknown reason' };
    }
  }

  /** Token files and CAs may be new. */
  #follow(files: readonly string[]): void {
    this.#files = files;
    void this.#watchDirectories();
  }

  /**
   * Directories, not files: a file that is replaced by rename or by a symbolic link is another file to the kernel.
   * Resolves when changes are heard; directories that no file is in any more are let go.
   */
  async #watchDirectories(): Promise<void> {
    const wanted = new Set(this.#files.map((file) => dirname(file)));
    const opened: Promise<void>[] = [];
    for (const directory of wanted) {
      if (this.#directories.has(directory) || this.#stop.signal.aborted) continue;
      const watcher = watchPaths(directory, { ignoreInitial: true, depth: 0, persistent: false });
      watcher.on('all', () => this.#changed()).on('raw', () => this.#changed());
      // The files are looked at now and then as well, so that this costs time only.
      watcher.on('error', () => {});
      this.#directories.set(directory, watcher);
      opened.push(new Promise((resolve) => watcher.once('ready', resolve)));
    }
    for (const [directory, watcher] of this.#directories) {
      if (wanted.has(directory)) continue;
      this.#directories.delete(directory);
      opened.push(watcher.close());
    }
    await Promise.all(opened);
  }

  async #look(): Promise<void> {
    const { clock } = this.#options;
    while (!this.#stop.signal.aborted) {
      await clock.sleep(LOOK_INTERVAL_MS, this.#stop.signal);
      if (!this.#stop.signal.aborted && (await fingerprintOf(this.#files)) !== this.#fingerprint)
        this.#changed();
    }
  }
}

/** Nodes may also come by themselves. */
function mayHaveNodes({ nodes, discovery, agents }: Config): boolean {
  return nodes.length > 0 || discovery.sources.length > 0 || agents.listen !== undefined;
}
