import type { Log } from '../app/log.ts';
import type { Clock } from '../app/ports.ts';

/** `--to mdns`: look on the local network. */
export const SEARCH = 'mdns';
const AGAIN_MS = 10_000;

export interface SearchDeps {
  /** Origins that answered, empty where none did; rejects where nothing can be asked. */
  readonly find: (signal: AbortSignal) => Promise<readonly string[]>;
  readonly clock: Clock;
  readonly log: Log;
}

/** Control planes that announce themselves on the local network; asked for until there is one, or until aborted. */
export async function searchControlPlanes(
  { find, clock, log }: SearchDeps,
  signal: AbortSignal,
): Promise<URL[]> {
  let hasSaid = false;
  while (!signal.aborted) {
    const found = await find(signal).catch(() => []);
    const urls = found.filter((text) => URL.canParse(text)).map((text) => new URL(text));
    if (urls.length > 0) {
      log.info({ to: urls.map(({ origin }) => origin) }, 'found on the local network');
      return urls;
    }
    if (!hasSaid && !signal.aborted) {
      log.warn(
        {},
        'no Warmpath announces itself on this network (mDNS); looking on. Name it with --to URL otherwise',
      );
    }
    hasSaid = true;
    await clock.sleep(AGAIN_MS, signal);
  }
  return [];
}
