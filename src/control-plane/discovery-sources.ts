import { hostname } from 'node:os';
import type { Listener } from '../app/destination.ts';
import type { Config } from '../config/config.ts';
import { loadNodesFile } from '../config/load-nodes-file.ts';
import { ConfigError } from '../config/problem.ts';
import { DnsSource } from '../discovery/dns-source.ts';
import { FileSource } from '../discovery/file-source.ts';
import { InferencePoolSource } from '../discovery/inference-pool-source.ts';
import { KubernetesSource } from '../discovery/kubernetes-source.ts';
import { LocalhostSource } from '../discovery/localhost-source.ts';
import type { MdnsAddress } from '../discovery/mdns-socket.ts';
import { MdnsSource } from '../discovery/mdns-source.ts';
import type { DiscoverySource, SourceDeps } from '../discovery/source.ts';
import type { NodeUrl } from '../fleet/types.ts';
import { OllamaClient } from '../nodes/ollama-client.ts';

/** An Ollama on this machine answers in less, whatever it is doing. */
const LOCAL_ANSWER_MS = 1_000;
const MAX_TAGS_BYTES = 4 * 1024 * 1024;

export type SourceConfig = Config['discovery']['sources'][number];

export interface SourceContext extends SourceDeps {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly listeners: () => readonly Listener[];
  readonly localIps: () => readonly string[];
  /** For tests: another port or interface than mDNS's own, other name servers than the system's. */
  readonly mdns?: MdnsAddress;
  readonly dnsServers?: readonly string[];
}

/** The source that a section of the configuration describes. A new kind is one more case and one more file. */
export function createSource(config: SourceConfig, context: SourceContext): DiscoverySource {
  const { clock, random, log, listeners, localIps, env, mdns, dnsServers } = context;
  const deps = { clock, random, log };
  switch (config.kind) {
    case 'file':
      return new FileSource({
        ...deps,
        path: config.path,
        load: (path) =>
          loadNodesFile(path, { env, listeners: listeners(), localIps: localIps() }).catch(
            (error: unknown) => {
              throw error instanceof ConfigError ? new Error(error.inOneLine, { cause: error }) : error;
            },
          ),
      });
    case 'dns': {
      const { name, type, port, interval } = config;
      const servers = dnsServers === undefined ? {} : { servers: dnsServers };
      return new DnsSource({ ...deps, name, type, port, intervalMs: interval, ...servers });
    }
    case 'localhost': {
      const [from = 1, to = 0] = config.ports.split('-').map(Number);
      return new LocalhostSource({
        ...deps,
        from,
        to,
        intervalMs: config.interval,
        hostname: hostname(),
        ownPorts: () => new Set(listeners().map(({ port }) => port)),
        isOllama: (url, signal) => answersAsOllama(url, context, signal),
      });
    }
    case 'mdns':
      return new MdnsSource({
        ...deps,
        intervalMs: config.interval,
        ...(mdns === undefined ? {} : { address: mdns }),
      });
    case 'kubernetes': {
      const { namespace, selector, port, kubeconfig } = config;
      return new KubernetesSource({ ...deps, namespace, selector, port, kubeconfig });
    }
    case 'inferencepool': {
      const { namespace, name, kubeconfig } = config;
      return new InferencePoolSource({ ...deps, namespace, name, kubeconfig });
    }
  }
}

async function answersAsOllama(url: NodeUrl, { clock }: SourceDeps, signal: AbortSignal): Promise<boolean> {
  const spec = {
    id: 'candidate',
    url,
    token: undefined,
    tlsCaFile: undefined,
    slots: undefined,
    vramBytes: undefined,
    labels: {},
    weight: 1,
    drain: false,
  };
  const client = new OllamaClient(spec, url.host, {
    clock,
    timeoutMs: LOCAL_ANSWER_MS,
    connectTimeoutMs: LOCAL_ANSWER_MS,
    maxBodyBytes: MAX_TAGS_BYTES,
  });
  try {
    await client.tags(signal);
    return true;
  } catch {
    // Whatever else listens there is none of our business.
    return false;
  } finally {
    await client.close();
  }
}
