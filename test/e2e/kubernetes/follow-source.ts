import type { Candidate } from '../../../src/app/registry/registry-types.ts';
import { SystemClock } from '../../../src/app/system-clock.ts';
import type { DiscoverySource, SourceDeps } from '../../../src/discovery/source.ts';
import { MemoryLog } from '../../support/memory-log.ts';
import { waitFor } from '../../support/wait-for.ts';

/** A running source, what it has said, and what it has logged. */
export interface FollowedSource {
  readonly log: MemoryLog;
  readonly said: readonly (readonly Candidate[])[];
  /** Waits until it names exactly these: `NAME HOST:PORT`, with ` drained` where it says so. */
  sees(...want: string[]): Promise<void>;
  /** Waits until it has warned of this. */
  warns(pattern: RegExp): Promise<void>;
  end(): Promise<void>;
}

export function followSource(create: (deps: SourceDeps) => DiscoverySource): FollowedSource {
  const log = new MemoryLog();
  const stop = new AbortController();
  const said: (readonly Candidate[])[] = [];
  const source = create({ clock: new SystemClock(), random: () => 0, log });
  const done = source.run((candidates) => void said.push(candidates), stop.signal);
  const view = (): string[] =>
    (said.at(-1) ?? [])
      .map(
        ({ name, url, settings }) =>
          `${name} ${url.host}:${url.port}${settings?.drain === true ? ' drained' : ''}`,
      )
      .sort();
  const warned = (): string => `warned: ${log.messages('warn').join('; ') || 'nothing'}`;
  return {
    log,
    said,
    sees: (...want) =>
      until(
        () => said.length > 0 && JSON.stringify(view()) === JSON.stringify(want),
        () => `wanted ${want.join(', ') || 'nothing'}; seen: ${view().join(', ')}; ${warned()}`,
      ),
    warns: (pattern) =>
      until(
        () => log.messages('warn').some((message) => pattern.test(message)),
        () => `wanted ${pattern}; ${warned()}`,
      ),
    end: async () => {
      stop.abort();
      await done;
    },
  };
}

/** Says what was there instead when the time is over. */
async function until(holds: () => boolean, seen: () => string): Promise<void> {
  try {
    await waitFor('a source', holds, { timeoutMs: 20_000 });
  } catch (cause) {
    throw new Error(seen(), { cause });
  }
}
