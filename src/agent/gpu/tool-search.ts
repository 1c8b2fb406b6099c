import type { Clock } from '../../app/ports.ts';
import type { RunTool, ToolResult } from '../run-tool.ts';

/** A tool that is not installed is looked for again this often. */
const LOOK_AGAIN_MS = 60_000;
/** One that hung is left alone this long: what the kernel holds would pile up. */
const REST_MS = 30_000;

/** One command-line tool that may be missing: found on PATH or where vendors put it, remembered, looked for seldom. */
export class ToolSearch {
  readonly #places: readonly string[];
  readonly #run: RunTool;
  readonly #clock: Pick<Clock, 'now'>;
  #found: string | undefined;
  #missingSince: number | undefined;
  #hungAt: number | undefined;

  constructor(places: readonly string[], run: RunTool, clock: Pick<Clock, 'now'>) {
    this.#places = places;
    this.#run = run;
    this.#clock = clock;
  }

  async run(args: readonly string[], signal: AbortSignal): Promise<ToolResult> {
    const now = this.#clock.now();
    if (this.#missingSince !== undefined && now - this.#missingSince < LOOK_AGAIN_MS) {
      return { kind: 'missing' };
    }
    if (this.#hungAt !== undefined && now - this.#hungAt < REST_MS) return { kind: 'timeout' };
    for (const place of this.#found === undefined ? this.#places : [this.#found]) {
      const result = await this.#run(place, args, signal);
      if (result.kind === 'missing') continue;
      this.#found = place;
      this.#missingSince = undefined;
      this.#hungAt = result.kind === 'timeout' && !signal.aborted ? this.#clock.now() : undefined;
      return result;
    }
    this.#found = undefined;
    this.#missingSince = now;
    return { kind: 'missing' };
  }
}
