import { formatHostPort } from '../host-port.ts';
import type { Entry } from './registry-entry.ts';
import type { NodeRegistryOptions, ProbeAnswer } from './registry-options.ts';
import { isMoving, type NodeTable } from './registry-table.ts';
import type { Candidate } from './registry-types.ts';

const PROBES_AT_ONCE = 16;
/** A candidate that failed is asked again after 2, 4, 8 … s. */
const FIRST_RETRY_MS = 2_000;
const LAST_RETRY_MS = 60_000;

/** Lets a node in, or answers why not. */
type Judge = (entry: Entry, candidate: Candidate, answer: ProbeAnswer) => string | undefined;

/** Asks candidates, and members that have moved, whether an Ollama answers there. */
export class Prober {
  readonly #options: NodeRegistryOptions;
  readonly #table: NodeTable;
  readonly #judge: Judge;
  readonly #running = new Set<Promise<void>>();
  readonly #due: Entry[] = [];

  constructor(options: NodeRegistryOptions, table: NodeTable, judge: Judge) {
    this.#options = options;
    this.#table = table;
    this.#judge = judge;
  }

  /** Starts what is due, as many as may run at once; the rest follows as those end. */
  askDue(signal: AbortSignal): void {
    if (this.#due.length > 0) return;
    const now = this.#options.clock.now();
    for (const entry of this.#table.entries.values())
      if (!entry.isProbing && entry.nextProbeAt <= now && isInQuestion(entry)) this.#due.push(entry);
    this.#due.reverse();
    this.#next(signal);
  }

  #next(signal: AbortSignal): void {
    while (this.#running.size < PROBES_AT_ONCE && !signal.aborted) {
      const entry = this.#due.pop();
      if (entry === undefined) return;
      // It may have changed while it stood in line.
      if (entry.isProbing || !isInQuestion(entry) || this.#table.entries.get(entry.key) !== entry) continue;
      const probe: Promise<void> = this.#ask(entry, signal).finally(() => {
        this.#running.delete(probe);
        this.#next(signal);
      });
      this.#running.add(probe);
    }
  }

  /** Policy or addresses have changed: who had to wait may not have to any more. */
  askAnew(): void {
    for (const entry of this.#table.entries.values()) {
      if (!isInQuestion(entry)) continue;
      entry.nextProbeAt = this.#options.clock.now();
      entry.failedProbes = 0;
    }
  }

  async settled(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  async #ask(entry: Entry, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options;
    const candidate = entry.latest;
    entry.isProbing = true;
    const answer = await this.#probe(entry, candidate, signal);
    entry.isProbing = false;
    // It may have left, moved on or been removed meanwhile.
    const isCurrent = this.#table.entries.get(entry.key) === entry && entry.latest === candidate;
    if (signal.aborted || !isCurrent || entry.state === 'removed') return;
    const problem = this.#judge(entry, candidate, answer);
    entry.failedProbes += 1;
    const retry = FIRST_RETRY_MS * 2 ** Math.min(10, entry.failedProbes - 1);
    entry.nextProbeAt = clock.now() + Math.min(LAST_RETRY_MS, retry);
    if (problem !== undefined && problem !== entry.problem)
      log.info({ node: entry.id, url: formatHostPort(candidate.url) }, `node ${entry.id}: ${problem}`);
    entry.problem = problem;
  }

  async #probe(entry: Entry, candidate: Candidate, signal: AbortSignal): Promise<ProbeAnswer> {
    try {
      return await this.#options.probe(candidate, signal);
    } catch (error) {
      if (!signal.aborted)
        this.#options.log.error({ err: error, node: entry.id }, 'asking a candidate failed');
      return { problem: 'could not be asked' };
    }
  }
}

function isInQuestion(entry: Entry): boolean {
  // What nobody names is not asked, but for what an agent told to another replica.
  const isKnown = entry.namedBy.size > 0 || entry.latest.source === 'agent';
  return isKnown && (entry.state === 'candidate' || (entry.state === 'member' && isMoving(entry)));
}
