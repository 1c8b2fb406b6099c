import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { hostname, totalmem } from 'node:os';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';
import type { Config } from '../config/config.ts';
import {
  type BootstrapOptions,
  DEFAULT_LIMITS,
  DEFAULT_TIMEOUTS,
  type TlsTransport,
} from '../envoy/bootstrap/options.ts';
import { transportName } from '../envoy/endpoints/transport-name.ts';
import { tlsAddress } from '../fleet/node-tls.ts';
import { LONGEST_ASKED_WAIT_MS } from '../waiting/longest-wait.ts';
import { envoyAdminPath, grpcBind, lastKnownPath } from './places.ts';

/** Beyond the longest silence that we allow a node. */
const IDLE_SLACK_MS = 60_000;

/** What our own Envoy is told, from the configuration. Pure but for finding the system's CAs. */
export function bootstrapOptions(config: Config): BootstrapOptions {
  const { listen, limits, routing, poll, waiting } = config;
  const longestWait = Math.max(waiting.maxWait, LONGEST_ASKED_WAIT_MS);
  const silence = longestWait + routing.answerTimeout + routing.loadTimeout + IDLE_SLACK_MS;
  return {
    listen: { host: listen.host === 'localhost' ? '127.0.0.1' : listen.host, port: listen.port },
    grpc: grpcBind(config),
    replicas: config.replicas,
    admin: { kind: 'unix', path: envoyAdminPath(config.stateDir) },
    lastKnownFile: lastKnownPath(config.stateDir),
    tls: tlsTransports(config),
    origins: config.origins,
    hostnames: [hostname()],
    exposeHeaders: config.responseHeaders,
    forwardAuthorization: config.clients.length > 0,
    limits: {
      ...DEFAULT_LIMITS,
      bodyBytes: limits.body,
      heapBytes: Math.floor(availableMemory() / 2),
      attempts: routing.maxAttempts,
    },
    timeouts: {
      ...DEFAULT_TIMEOUTS,
      streamIdle: Math.max(DEFAULT_TIMEOUTS.streamIdle, silence),
      failOpenFirstByte: routing.loadTimeout,
      connect: poll.connectTimeout,
      decisionMax: longestWait + IDLE_SLACK_MS,
    },
  };
}

/** Of the machine, or of the container where it has less. */
function availableMemory(): number {
  const constrained = process.constrainedMemory();
  return constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
}

/**
 * One per CA, and for each address that a certificate must have: nodes with a common one share it. The system's is always there,
 * for nodes that a reload brings.
 */
function tlsTransports(config: Config): TlsTransport[] {
  const byName = new Map<string, TlsTransport>([
    ['tls', { name: 'tls', caFile: systemCaFile(config.stateDir) }],
  ]);
  for (const spec of config.nodes) {
    if (spec.url.scheme !== 'https') continue;
    const name = transportName(spec);
    const caFile = spec.tlsCaFile ?? systemCaFile(config.stateDir);
    byName.set(name, { name, caFile, address: tlsAddress(spec) });
  }
  return [...byName.values()];
}

const SYSTEM_CA_FILES = [
  '/etc/ssl/certs/ca-certificates.crt', // Debian, Ubuntu, Arch, Alpine
  '/etc/pki/tls/certs/ca-bundle.crt', // Fedora, RHEL
  '/etc/ssl/ca-bundle.pem', // openSUSE
  '/etc/ssl/cert.pem', // macOS, BSD
];

function systemCaFile(stateDir: string): string {
  return SYSTEM_CA_FILES.find((file) => existsSync(file)) ?? ownCaFile(stateDir);
}

function ownCaFile(stateDir: string): string {
  return join(stateDir, 'system-ca.pem');
}

/** Where the system has no CA bundle at a known place, Envoy gets Node's own. */
export async function ensureCaFile(config: Config): Promise<void> {
  const file = ownCaFile(config.stateDir);
  if (!tlsTransports(config).some(({ caFile }) => caFile === file)) return;
  await mkdir(config.stateDir, { recursive: true, mode: 0o700 });
  await writeFile(file, rootCertificates.join('\n'));
}
