import { createHash } from 'node:crypto';
import { dirname } from 'node:path';
import { watch } from 'chokidar';
import { fingerprintOf } from '../app/fingerprint.ts';
import type { Candidate } from '../app/registry/registry-types.ts';
import type { NodeSpec } from '../fleet/types.ts';
import type { DiscoverySource, Report, SourceDeps } from './source.ts';
import { Trouble } from './trouble.ts';

/** A change must rest this long before it is read: editors and copies write in several steps. */
const QUIET_MS = 250;
/** Under a storm of changes the file is read at least this often. */
const MAX_WAIT_MS = 2_000;
/** File systems that report no changes are looked at this often. */
const LOOK_MS = 10_000;

export interface FileSourceOptions extends SourceDeps {
  readonly path: string;
  /** Reads and checks the list; rejects with every problem in one message. Answers what else was read, too. */
  readonly load: (
    path: string,
  ) => Promise<{ readonly nodes: readonly NodeSpec[]; readonly files: readonly string[] }>;
}

/** A YAML or JSON list of nodes, read again when it changes. A bad file changes nothing. */
export class FileSource implements DiscoverySource {
  readonly key: string;
  readonly #identity: string;
  readonly #options: FileSourceOptions;
  readonly #trouble: Trouble;
  #files: readonly string[];
  #fingerprint = '';

  constructor(options: FileSourceOptions) {
    this.#options = options;
    this.key = `file:${options.path}`;
    this.#identity = `file-${createHash('sha256').update(options.path).digest('hex').slice(0, 12)}`;
    this.#trouble = new Trouble(this.key, options.log);
    this.#files = [options.path];
  }

  async run(report: Report, signal: AbortSignal): Promise<void> {
    const { clock, path } = this.#options;
    let changedAt: number | undefined;
    let cancel = (): void => {};
    let wake = new AbortController();
    const changed = (): void => {
      changedAt ??= clock.now();
      cancel();
      const wait = Math.min(QUIET_MS, Math.max(0, changedAt + MAX_WAIT_MS - clock.now()));
      cancel = clock.after(wait, () => {
        changedAt = undefined;
        wake.abort();
      });
    };
    // The directory: a file that is replaced by rename or by a symbolic link is another file to the kernel.
    const watcher = watch(dirname(path), { ignoreInitial: true, depth: 0, persistent: false });
    watcher.on('all', changed).on('raw', changed);
    // The file is looked at now and then as well, so that this costs time only.
    watcher.on('error', () => {});
    try {
      while (!signal.aborted) {
        // Before the look: what changes while it goes on calls for another one.
        wake = new AbortController();
        await this.#look(report);
        await clock.sleep(LOOK_MS, AbortSignal.any([signal, wake.signal]));
      }
    } finally {
      cancel();
      await watcher.close();
    }
  }

  async #look(report: Report): Promise<void> {
    const fingerprint = await fingerprintOf(this.#files);
    if (fingerprint === this.#fingerprint) return;
    this.#fingerprint = fingerprint;
    const { path, load } = this.#options;
    try {
      const { nodes, files } = await load(path);
      this.#files = [path, ...files];
      // With what was read beside it, the fingerprint is another one.
      this.#fingerprint = await fingerprintOf(this.#files);
      this.#trouble.over();
      report(nodes.map((node) => this.#candidate(node)));
    } catch (error) {
      this.#trouble.met(error instanceof Error ? error.message : 'the file cannot be read');
    }
  }

  /** A node of a file is its name, as one of the configuration is. */
  #candidate({ id, url, labels, identity: _, ...settings }: NodeSpec): Candidate {
    return { name: id, url, source: 'file', identity: `${this.#identity}#${id}`, labels, settings };
  }
}
