import { formatOrigin } from '../app/host-port.ts';
import type { Clock } from '../app/ports.ts';
import { closeMdns, type MdnsAddress, openMdns, SERVICE } from './mdns-socket.ts';
import { MdnsTable } from './mdns-table.ts';

/** A question is asked again this often while nobody has answered. */
const ASK_MS = 500;
const LOOK_MS = 50;

export interface FindOptions {
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly address?: MdnsAddress;
  /** Only where everything runs on one machine. */
  readonly allowLoopback?: boolean;
}

/**
 * Where a Warmpath on the local network takes agents' reports, such as `http://192.168.1.2:9412`; empty where none
 * answers in time. Anybody may answer: what is found proves nothing, and no secret may be sent there.
 */
export async function findWarmpath(
  { timeoutMs, clock, address = {}, allowLoopback = false }: FindOptions,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const mdns = await openMdns(address);
  const table = new MdnsTable([SERVICE.warmpath], { allowLoopback });
  mdns.on('response', ({ answers = [], additionals = [] }) =>
    table.learn([...answers, ...additionals], clock.now()),
  );
  const deadline = clock.now() + timeoutMs;
  let askedAt = Number.NEGATIVE_INFINITY;
  let found: string[] = [];
  while (!signal.aborted && found.length === 0 && clock.now() < deadline) {
    if (clock.now() - askedAt >= ASK_MS) {
      askedAt = clock.now();
      mdns.query({ questions: [{ name: SERVICE.warmpath, type: 'PTR' }] });
    }
    await clock.sleep(LOOK_MS, signal);
    found = table.announced(clock.now()).flatMap(({ port, ips, txt }) => {
      const scheme = txt.scheme === 'https' ? 'https' : 'http';
      return ips.map((host) => formatOrigin({ scheme, host, port }));
    });
  }
  await closeMdns(mdns);
  return found;
}
