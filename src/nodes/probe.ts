import { isIP } from 'node:net';
import { Client } from 'undici';
import { destinationProblem, isLoopbackHost, isOwnAddress, type Listener } from '../app/destination.ts';
import { formatHostPort, formatOrigin } from '../app/host-port.ts';
import type { Clock } from '../app/ports.ts';
import type { ProbeAnswer } from '../app/registry/registry-options.ts';
import type { Candidate } from '../app/registry/registry-types.ts';
import type { NodeSpec } from '../fleet/types.ts';
import { OllamaClient, pinned } from './ollama-client.ts';
import { PollError, pollErrorFrom } from './poll-error.ts';
import type { Lookup } from './resolver.ts';

/** A path that no Ollama has and every Warmpath refuses by itself, in a way that tells it apart. */
const WARMPATH_PATH = '/api/warmpath';
/** No machine answers under more addresses than a few. */
const MAX_ADDRESSES = 16;
const MAX_BODY_BYTES = 4 * 1024 * 1024;

export interface ProbeOptions {
  readonly lookup: Lookup;
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly connectTimeoutMs: number;
  /** What leads back to us. */
  readonly listeners: () => readonly Listener[];
  readonly localIps: () => readonly string[];
}

/**
 * Whether an Ollama answers where a candidate says. Follows no redirect, reads at most 4 MiB, connects only to the
 * addresses that it has judged. The answer quotes nothing that the other side said.
 */
export async function probeNode(
  candidate: Pick<Candidate, 'url' | 'settings'>,
  { allowLoopback }: { readonly allowLoopback: boolean },
  options: ProbeOptions,
  signal: AbortSignal,
): Promise<ProbeAnswer> {
  const { url } = candidate;
  try {
    const ips = await addressesOf(url.host, options.lookup);
    const problem = addressProblem(ips, url.port, allowLoopback, options);
    if (problem !== undefined) return { problem };
    const spec = specOf(candidate);
    let failure: PollError | undefined;
    for (const ip of ips) {
      try {
        return (await askOllama(spec, ip, options, signal)) ?? { ips };
      } catch (error) {
        failure = pollErrorFrom(error);
        if (signal.aborted) break;
      }
    }
    return {
      problem: `does not answer as Ollama at ${formatHostPort(url)}: ${failure?.detail ?? 'no address'}`,
    };
  } catch (error) {
    return { problem: `${url.host} cannot be resolved: ${pollErrorFrom(error).detail}` };
  }
}

async function addressesOf(host: string, lookup: Lookup): Promise<readonly string[]> {
  const found = isIP(host) !== 0 ? [host] : await lookup(host);
  return [...new Set(found)].slice(0, MAX_ADDRESSES);
}

/** One bad address refuses the whole name: a name that can lead to us or to metadata is not to be trusted. */
function addressProblem(
  ips: readonly string[],
  port: number,
  allowLoopback: boolean,
  { listeners, localIps }: ProbeOptions,
): string | undefined {
  if (ips.length === 0) return 'its name has no address';
  for (const ip of ips) {
    if (isOwnAddress(ip, port, listeners(), localIps()))
      return `${formatHostPort({ host: ip, port })} is Warmpath itself: requests would go in a circle`;
    const problem = destinationProblem(ip, { allowLoopback });
    if (problem === undefined) continue;
    return isLoopbackHost(ip)
      ? `${ip} is a loopback address, which this source may not name`
      : `${ip} ${problem}`;
  }
  return undefined;
}

/** A problem, or undefined where it is an Ollama. Rejects where it does not answer. */
async function askOllama(
  spec: NodeSpec,
  ip: string,
  options: ProbeOptions,
  signal: AbortSignal,
): Promise<ProbeAnswer | undefined> {
  const { clock, timeoutMs, connectTimeoutMs } = options;
  const limits = { clock, timeoutMs, connectTimeoutMs, maxBodyBytes: MAX_BODY_BYTES };
  // First: another Warmpath would answer everything below, from its own nodes.
  if (await isWarmpath(spec, ip, options, signal)) {
    return {
      problem: `${formatHostPort(spec.url)} is a Warmpath, not an Ollama: name its nodes here instead, or requests may go in a circle`,
    };
  }
  const client = new OllamaClient(spec, ip, limits);
  try {
    await client.version(signal);
    await client.tags(signal);
    return undefined;
  } finally {
    await client.close();
  }
}

/** Every refusal by a Warmpath's Envoy carries an x-warmpath header. */
async function isWarmpath(
  { url }: NodeSpec,
  ip: string,
  { clock, timeoutMs, connectTimeoutMs }: ProbeOptions,
  signal: AbortSignal,
): Promise<boolean> {
  // Nothing is sent that matters, so its certificate is not judged here.
  const client = new Client(formatOrigin(url), {
    allowH2: false,
    maxHeaderSize: 16 * 1024,
    connect: { timeout: connectTimeoutMs, lookup: pinned(ip), rejectUnauthorized: false },
  });
  const cap = new AbortController();
  const cancel = clock.after(timeoutMs, () => cap.abort());
  try {
    const response = await client.request({
      method: 'GET',
      path: WARMPATH_PATH,
      signal: AbortSignal.any([signal, cap.signal]),
      headers: { accept: 'application/json', 'user-agent': 'warmpath' },
    });
    response.body.on('error', () => {}).destroy();
    return (
      response.statusCode === 508 ||
      Object.keys(response.headers).some((name) => name.startsWith('x-warmpath-'))
    );
  } catch (error) {
    if (cap.signal.aborted) throw new PollError('timeout', 'no answer in time', error);
    throw error;
  } finally {
    cancel();
    await client.destroy().catch(() => {});
  }
}

function specOf({ url, settings }: Pick<Candidate, 'url' | 'settings'>): NodeSpec {
  return {
    id: 'candidate',
    url,
    token: settings?.token,
    tlsCaFile: settings?.tlsCaFile,
    slots: undefined,
    vramBytes: undefined,
    labels: {},
    weight: 1,
    drain: false,
  };
}
