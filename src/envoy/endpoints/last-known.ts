import { chmod, readFile, rename, unlink, writeFile } from 'node:fs/promises';
import { setImmediate } from 'node:timers/promises';
import type { Log } from '../../app/log.ts';
import type { EndpointSet, EnvoyEndpoint } from '../../app/types.ts';
import { CLUSTER } from '../names.ts';
import { ASSIGNMENT_TYPE, lbEndpointJson } from './assignment.ts';
import { ensureLastKnown, NOTHING_KNOWN } from './ensure-last-known.ts';
import { parseLastKnown } from './last-known-schema.ts';

/** Endpoints that are written without a pause. */
const SLICE = 1_000;

export interface LastKnown {
  readonly set: EndpointSet;
  readonly version: number;
}

/**
 * The last published endpoints, as a file that Envoy watches (requests that were not routed use them, with us dead
 * too) and that the next control plane starts from. Holds tokens: mode 0600. Replaced by rename, the only way of
 * writing that Envoy notices.
 */
export class LastKnownFile {
  readonly #path: string;
  readonly #log: Log;
  readonly #texts = new WeakMap<EnvoyEndpoint, string>();
  #written = '';
  #wanted: LastKnown | undefined;
  #writing: Promise<void> | undefined;

  constructor(path: string, log: Log) {
    this.#path = path;
    this.#log = log;
  }

  /** Reads what a predecessor left; undefined where there is nothing, or nothing that can be believed. */
  async read(): Promise<LastKnown | undefined> {
    const text = await readFile(this.#path, 'utf8').catch(() => undefined);
    if (text === undefined || text === NOTHING_KNOWN) return undefined;
    const parsed = parseLastKnown(text);
    if (parsed === undefined) {
      this.#log.warn(
        { path: this.#path },
        'the file of last known nodes is not readable and will be replaced',
      );
      return undefined;
    }
    this.#written = text;
    return parsed.set.endpoints.length === 0 ? undefined : parsed;
  }

  /** Makes the file where there is none: Envoy does not start without. */
  ensure(): Promise<void> {
    return ensureLastKnown(this.#path);
  }

  /** Writes soon; several calls while a write runs become one. Never rejects: a full disk must not stop routing. */
  write(set: EndpointSet, version: number): Promise<void> {
    this.#wanted = { set, version };
    this.#writing ??= this.#writeWanted().finally(() => {
      this.#writing = undefined;
    });
    return this.#writing;
  }

  async #writeWanted(): Promise<void> {
    while (this.#wanted !== undefined) {
      const wanted = this.#wanted;
      this.#wanted = undefined;
      const text = await this.#render(wanted);
      if (text === this.#written) continue;
      try {
        await this.#replace(text);
        this.#written = text;
      } catch (error) {
        this.#log.error({ err: error, path: this.#path }, 'the last known nodes could not be saved');
      }
    }
  }

  /** Endpoint by endpoint, with pauses for others: one text of a large fleet takes longer than a request may wait. */
  async #render({ set, version }: LastKnown): Promise<string> {
    const parts: string[] = [];
    for (const endpoint of set.endpoints) {
      let text = this.#texts.get(endpoint);
      if (text === undefined) {
        text = JSON.stringify(lbEndpointJson(endpoint));
        this.#texts.set(endpoint, text);
      }
      if (parts.push(text) % SLICE === 0) await setImmediate();
    }
    const empty = JSON.stringify({
      version_info: String(version),
      resources: [{ '@type': ASSIGNMENT_TYPE, cluster_name: CLUSTER.lastKnown, endpoints: [] }],
    });
    if (parts.length === 0) return empty;
    return empty.replace('"endpoints":[]', () => `"endpoints":[{"lb_endpoints":[${parts.join(',')}]}]`);
  }

  async #replace(text: string): Promise<void> {
    const temporary = `${this.#path}.${process.pid}.tmp`;
    try {
      await writeFile(temporary, text, { mode: 0o600 });
      // A leftover of that name would have kept its own mode.
      await chmod(temporary, 0o600);
      await rename(temporary, this.#path);
    } catch (error) {
      await unlink(temporary).catch(() => undefined);
      throw error;
    }
  }
}
