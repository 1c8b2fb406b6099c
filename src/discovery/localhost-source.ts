import type { Candidate } from '../app/registry/registry-types.ts';
import type { NodeUrl } from '../fleet/types.ts';
import { repeat } from './repeat.ts';
import type { DiscoverySource, Report, SourceDeps } from './source.ts';

/** Ports asked at the same time. */
const AT_ONCE = 16;
const MAX_PORTS = 4_096;
/** A node that did not answer is named this many times more: a busy one may miss a look. */
const MISSES_FORGIVEN = 2;

export interface LocalhostSourceOptions extends SourceDeps {
  /** First and last port, both looked at. */
  readonly from: number;
  readonly to: number;
  readonly intervalMs: number;
  /** Name of this machine: its nodes are named after it, and are not those of another machine. */
  readonly hostname: string;
  /** Ports that we listen on ourselves. */
  readonly ownPorts: () => ReadonlySet<number>;
  /** Whether an Ollama answers there, within a second. */
  readonly isOllama: (url: NodeUrl, signal: AbortSignal) => Promise<boolean>;
}

/** Ollamas on a range of this machine's ports, such as one per GPU. */
export class LocalhostSource implements DiscoverySource {
  readonly key: string;
  readonly #options: LocalhostSourceOptions;
  /** Looks missed since the last answer, by port. */
  readonly #misses = new Map<number, number>();

  constructor(options: LocalhostSourceOptions) {
    this.#options = options;
    this.key = `localhost:${options.from}-${options.to}`;
  }

  run(report: Report, signal: AbortSignal): Promise<void> {
    const { intervalMs } = this.#options;
    return repeat(() => this.#look(report, signal), intervalMs, this.#options, signal);
  }

  async #look(report: Report, signal: AbortSignal): Promise<void> {
    const { from, to, ownPorts } = this.#options;
    const own = ownPorts();
    const last = Math.min(to, from + MAX_PORTS - 1, 65_535);
    const ports: number[] = [];
    for (let port = Math.max(1, from); port <= last; port++) if (!own.has(port)) ports.push(port);
    const next = ports.values();
    await Promise.all(Array.from({ length: AT_ONCE }, () => this.#askEach(next, signal)));
    if (signal.aborted) return;
    report([...this.#misses.keys()].sort((a, b) => a - b).map((port) => this.#candidate(port)));
  }

  /** Several of these share one iterator: each takes the next port when it is free. */
  async #askEach(ports: Iterator<number>, signal: AbortSignal): Promise<void> {
    const { isOllama } = this.#options;
    for (let next = ports.next(); next.done !== true && !signal.aborted; next = ports.next()) {
      const port = next.value;
      const answers = await isOllama(localUrl(port), signal);
      const misses = this.#misses.get(port);
      if (answers) this.#misses.set(port, 0);
      else if (misses !== undefined && misses < MISSES_FORGIVEN) this.#misses.set(port, misses + 1);
      else this.#misses.delete(port);
    }
  }

  #candidate(port: number): Candidate {
    const { hostname } = this.#options;
    return {
      name: `${hostname}-${port}`,
      url: localUrl(port),
      source: 'localhost',
      identity: `localhost:${hostname}:${port}`,
      labels: {},
    };
  }
}

function localUrl(port: number): NodeUrl {
  return { scheme: 'http', host: '127.0.0.1', port };
}
