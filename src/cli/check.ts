import { exposureWarnings } from '../app/exposure-warnings.ts';
import { formatHostPort, formatOrigin } from '../app/host-port.ts';
import { noNodesWarning } from '../app/no-nodes.ts';
import type { Config } from '../config/config.ts';
import { loadConfig } from '../config/load.ts';
import { ConfigError } from '../config/problem.ts';
import { grpcBind } from '../control-plane/places.ts';
import type { NodeSpec, NodeUrl } from '../fleet/types.ts';
import { configSource } from './config-source.ts';
import { EXIT, type ExitCode } from './exit-code.ts';
import type { Io } from './io.ts';
import type { RunFlags } from './options.ts';
import { renderTable } from './table.ts';
import { columnsOf, createPaint, displayText, type Paint } from './terminal.ts';
import { formatBytes } from './units.ts';

/** Validates a configuration as `up` would read it. Every problem at once; without any, what would run. */
export async function runCheck(io: Io, flags: RunFlags, { json }: { json: boolean }): Promise<ExitCode> {
  const paint = createPaint(io.out, io.env);
  try {
    const { config } = await loadConfig(configSource(flags, io.env));
    const warnings = warningsOf(config);
    io.out.write(
      json
        ? `${JSON.stringify({ isValid: true, problems: [], warnings, config: summary(config) }, null, 2)}\n`
        : report(config, warnings, paint, columnsOf(io.out)),
    );
    return EXIT.ok;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    if (json) io.out.write(`${JSON.stringify({ isValid: false, problems: error.lines }, null, 2)}\n`);
    else io.err.write(problems(error, createPaint(io.err, io.env)));
    return EXIT.problem;
  }
}

function problems(error: ConfigError, paint: Paint): string {
  const count = error.lines.length === 1 ? '1 problem' : `${error.lines.length} problems`;
  return [paint('red', `${count}:`), ...error.lines.map((line) => `  ${displayText(line)}`), ''].join('\n');
}

function warningsOf(config: Config): string[] {
  const warnings = exposureWarnings(config);
  const noNodes = noNodesWarning(config);
  if (noNodes !== undefined) warnings.push(noNodes);
  if (config.nodes.length > 0 && config.nodes.every((node) => node.drain)) {
    warnings.push('all nodes are draining: every request would be answered 503');
  }
  return warnings;
}

/** What would run, tokens and passwords left out. */
function summary(config: Config) {
  const { nodes, adminToken, store, agents, clients, ...settings } = config;
  const { password, ...storeSettings } = store;
  const { joinToken, ...agentSettings } = agents;
  return {
    ...settings,
    hasAdminToken: adminToken !== undefined,
    grpc: grpcBind(config),
    store: { ...storeSettings, hasPassword: password !== undefined },
    agents: { ...agentSettings, hasJoinToken: joinToken !== undefined },
    clients: clients.map(({ key: _, ...client }) => client),
    nodes: nodes.map(({ token, url, ...node }) => ({
      ...node,
      url: urlText(url),
      hasToken: token !== undefined,
    })),
  };
}

function report(config: Config, warnings: readonly string[], paint: Paint, width: number): string {
  const grpc = grpcBind(config);
  const lines: [string, string][] = [
    // Where clients of other people's gateways connect is their matter.
    ...(config.extProc.profile === 'own'
      ? [['clients', formatHostPort(config.listen)] as [string, string]]
      : []),
    ['admin', formatHostPort(config.admin)],
    ['gRPC for Envoy', `${grpc.kind === 'unix' ? grpc.path : formatHostPort(grpc)}${tlsText(config)}`],
    ...gateway(config),
    ['state', config.stateDir],
    ...sharing(config),
    ['nodes', String(config.nodes.length)],
    ...growth(config),
    ...requests(config),
  ];
  const facts = lines.map(([name, value]) => `  ${paint('dim', name.padEnd(15))} ${displayText(value)}`);
  const parts = [paint('green', 'The configuration is valid. It would run:'), '', ...facts, ''];
  if (config.nodes.length > 0) parts.push(nodeTable(config.nodes, paint, width).trimEnd(), '');
  parts.push(...warnings.map((warning) => paint('yellow', `! ${displayText(warning)}`)));
  return `${parts.join('\n').trimEnd()}\n`;
}

function sharing({ store, replicas }: Config): [string, string][] {
  const lines: [string, string][] = [];
  if (store.kind === 'redis') {
    const list = (hosts: Config['store']['sentinels']): string =>
      hosts.map((each) => formatHostPort(each)).join(', ');
    const where =
      store.url ??
      (store.sentinels.length > 0
        ? `${store.sentinelName} of the Sentinels ${list(store.sentinels)}`
        : `the cluster of ${list(store.clusterNodes)}`);
    const how = [store.username === undefined ? '' : `as ${store.username}`, store.tls ? 'TLS' : ''];
    lines.push(['Redis', [where, ...how.filter((word) => word !== '')].join(', ')]);
  }
  const names = replicas.map((each) => (each.kind === 'unix' ? each.path : formatHostPort(each)));
  if (names.length > 0) lines.push(['other replicas', names.join(', ')]);
  return lines;
}

/** For whom ext_proc answers, where that is not our own Envoy. */
function gateway({ extProc, routing }: Config): [string, string][] {
  const { profile, minEndpoints, health } = extProc;
  const lines: [string, string][] = [];
  if (profile !== 'own') {
    const most = Math.max(routing.maxAttempts, minEndpoints);
    const count = minEndpoints === most ? String(most) : `${minEndpoints} to ${most}`;
    const list = profile === 'epp-single' || most === 1 ? 'one endpoint' : `${count} endpoints`;
    lines.push(['profile', `${profile}: answers with ${list}`]);
  }
  if (health !== undefined) lines.push(['gRPC health', formatHostPort(health)]);
  return lines;
}

function tlsText({ extProc: { tls, tlsCert = '' } }: Config): string {
  if (tls === 'off') return '';
  return tls === 'files' ? `, TLS with ${tlsCert}` : ', TLS, self-signed';
}

/** How nodes come to the fleet that the file does not name. */
function growth({ agents, discovery }: Config): [string, string][] {
  const lines: [string, string][] = [];
  if (agents.listen !== undefined) {
    const tls = agents.tlsCert === undefined ? '' : ', TLS';
    lines.push(['agents', `${formatHostPort(agents.listen)}${tls}, ${agents.maxNodes} nodes at most`]);
  }
  const sources = discovery.sources.map(sourceText);
  if (sources.length > 0) lines.push(['discovery', `${sources.join(', ')}; trust: ${discovery.trust}`]);
  return lines;
}

/** Who is known, and by which other names models are asked for. */
function requests({ clients, models }: Config): [string, string][] {
  const lines: [string, string][] = [];
  if (clients.length > 0) lines.push(['known clients', clients.map(({ name }) => name).join(', ')]);
  const names = Object.keys(models);
  if (names.length > 0) lines.push(['aliases', names.join(', ')]);
  return lines;
}

function sourceText(source: Config['discovery']['sources'][number]): string {
  switch (source.kind) {
    case 'file':
      return source.path;
    case 'dns':
      return `DNS ${source.type} ${source.name}`;
    case 'localhost':
      return `ports ${source.ports} of this machine`;
    case 'mdns':
      return 'mDNS';
    case 'kubernetes':
      return `Kubernetes ${source.namespace}/${source.selector}`;
    case 'inferencepool':
      return `InferencePool ${source.namespace}/${source.name}`;
  }
}

function nodeTable(nodes: readonly NodeSpec[], paint: Paint, width: number): string {
  const columns = [
    { title: paint('dim', 'NODE'), isFlexible: true },
    { title: paint('dim', 'URL'), isFlexible: true },
    { title: paint('dim', 'SLOTS'), align: 'right' },
    { title: paint('dim', 'VRAM'), align: 'right' },
    { title: paint('dim', 'WEIGHT'), align: 'right' },
    { title: paint('dim', 'ALSO') },
  ] as const;
  const rows = nodes.map((node) => {
    const also = [
      node.token === undefined ? '' : 'token',
      node.tlsCaFile === undefined ? '' : 'own CA',
      node.gpuMetrics === undefined ? '' : 'GPU metrics',
      node.drain ? 'draining' : '',
    ];
    return [
      displayText(node.id),
      displayText(urlText(node.url)),
      node.slots === undefined ? 'learnt' : String(node.slots),
      node.vramBytes === undefined ? '?' : formatBytes(node.vramBytes),
      String(node.weight),
      also.filter((word) => word !== '').join(', '),
    ];
  });
  return renderTable(columns, rows, width);
}

/** With its port always: Ollama's usual one is not the one that a URL without a port means elsewhere. */
function urlText(url: NodeUrl): string {
  return formatOrigin(url);
}
