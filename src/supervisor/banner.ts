import { isLoopbackHost } from '../app/destination.ts';
import { urlHost } from '../app/host-port.ts';
import type { Config } from '../config/config.ts';
import type { FailureReason } from '../fleet/types.ts';
import type { NodeSummary } from './messages.ts';

export interface BannerFacts {
  readonly version: string;
  readonly envoyVersion: string;
  readonly config: Config;
  readonly nodes: readonly NodeSummary[];
}

/** What `warmpath up` says when it is up: where it listens, which nodes it sees, what to try next. */
export function banner({ version, envoyVersion, config, nodes }: BannerFacts): string {
  const client = `http://${reachable(config.listen.host)}:${config.listen.port}`;
  const admin = `http://${reachable(config.admin.host)}:${config.admin.port}`;
  const flag =
    config.admin.port === 9411 ? '' : ` --admin ${reachable(config.admin.host)}:${config.admin.port}`;
  const model = nodes.flatMap(({ warm }) => warm)[0] ?? 'MODEL';
  const elsewhere = isLoopbackHost(config.listen.host)
    ? ', from this machine only'
    : `; other machines: OLLAMA_HOST=http://<this machine>:${config.listen.port}`;
  return [
    '',
    `  warmpath ${version} is up, with Envoy ${envoyVersion}`,
    '',
    `  clients   ${client}  (Ollama and OpenAI API${elsewhere})`,
    `  operators ${admin}/status  /metrics  /healthz  /readyz`,
    ...nodeLines(nodes, config),
    '',
    `  try       curl ${client}/api/tags`,
    `            npx warmpath status${flag}`,
    `            npx warmpath explain ${model}${flag}`,
    '',
  ].join('\n');
}

function nodeLines(nodes: readonly NodeSummary[], { agents, discovery }: Config): string[] {
  if (nodes.length === 0 && (agents.listen !== undefined || discovery.sources.length > 0)) {
    return [
      '  nodes     none yet: clients get 503 until one is found or an agent joins; see npx warmpath nodes list',
    ];
  }
  if (nodes.length === 0) {
    return [
      '  nodes     none: clients get 503 until there is one. Add --node http://HOST:11434, or try --demo',
    ];
  }
  const width = Math.max(...nodes.map(({ id }) => id.length));
  return nodes.map((node, index) => {
    const head = index === 0 ? '  nodes     ' : '            ';
    return `${head}${node.id.padEnd(width)}  ${node.url}  ${describe(node)}`;
  });
}

function describe({ status, models, warm, failure }: NodeSummary): string {
  if (failure !== undefined && status !== 'ready' && status !== 'draining') return REMEDY[failure];
  const state = status === 'unknown' ? 'no answer yet' : status;
  if (models === 0 && status === 'ready') return 'ready, but it has no models: run `ollama pull` there';
  const count = models === undefined ? '' : models === 1 ? ', 1 model' : `, ${models} models`;
  return `${state}${count}${warm.length > 0 ? `, warm: ${warm.join(', ')}` : ''}`;
}

const OLLAMA_HOST = 'is Ollama running there, with OLLAMA_HOST=0.0.0.0, and no firewall between?';
const REMEDY: Record<FailureReason, string> = {
  refused: `refuses connections: ${OLLAMA_HOST}`,
  connect_timeout: `cannot be reached: ${OLLAMA_HOST}`,
  timeout: 'accepts connections but does not answer: is Ollama hanging there?',
  reset: `cuts connections: ${OLLAMA_HOST}`,
  truncated: 'cuts its answers short: is Ollama crashing there?',
  bad_answer: 'does not answer as Ollama does: is the URL right?',
  server_error: 'answers with errors: see its log',
  busy: 'says that it is busy',
  model_missing: 'lacks a model that it lists',
  in_band_error: 'answers with errors: see its log',
  dns: 'has a name that cannot be resolved: check it, or use its IP address',
  unexplained: 'is passed over by the proxy: see its log, and the log of the proxy',
  tls: 'fails the TLS handshake: check tlsCa, and that the certificate names this host',
};

/** The listen address as one on this machine can type it. */
function reachable(host: string): string {
  if (host === '0.0.0.0' || host === '::' || host === '127.0.0.1') return 'localhost';
  return urlHost(host);
}
