import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { CLUSTER, HEADER, METADATA } from '../names.ts';
import { failedAttemptLog } from './access-logs.ts';
import { any, extension, type Message, seconds } from './message.ts';
import type { BootstrapOptions } from './options.ts';
import { originFilter } from './origins.ts';

/** Names under which routes switch filters off. */
export const FILTER = { cors: 'cors', bones: 'bones', extProc: 'ext_proc', tap: 'tap' } as const;

/** The chain of a client's request, in order; answers pass it backwards. */
export function httpFilters(options: BootstrapOptions): readonly Message[] {
  return [
    loopGuard(options),
    extension(FILTER.cors, 'envoy.extensions.filters.http.cors.v3.Cors'),
    originFilter(options.origins),
    lua(FILTER.bones, 'bones.lua', { '@BODY_LIMIT@': String(options.limits.bodyBytes) }),
    extProc(options),
    lua(FILTER.tap, 'tap.lua', {}),
    extension('router', 'envoy.extensions.filters.http.router.v3.Router', {
      suppress_envoy_headers: true,
      upstream_log: [failedAttemptLog()],
    }),
  ];
}

/** Refuses what has passed here before: a node whose URL leads back to us would go round for ever. */
function loopGuard({ hostnames, listen, lastKnownFile }: BootstrapOptions): Message {
  const own = JSON.stringify([hostnames, listen, lastKnownFile]);
  return extension('loop', 'envoy.extensions.filters.http.cdn_loop.v3.CdnLoopConfig', {
    cdn_id: `warmpath-${createHash('sha256').update(own).digest('hex').slice(0, 16)}`,
  });
}

/** Per-route configuration that switches the named filters off. */
export function without(...names: readonly (typeof FILTER)[keyof typeof FILTER][]): Message {
  const off = any('envoy.config.route.v3.FilterConfig', { disabled: true });
  return Object.fromEntries(names.map((name) => [name, off]));
}

function extProc({ timeouts, forwardAuthorization = false }: BootstrapOptions): Message {
  const untyped = (...namespaces: string[]) => ({ untyped: namespaces });
  return extension(FILTER.extProc, 'envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor', {
    grpc_service: { envoy_grpc: { cluster_name: CLUSTER.warmpath, skip_envoy_headers: true } },
    // Inference goes on without the control plane; what is forbidden is forbidden by the routes.
    failure_mode_allow: true,
    allow_mode_override: true,
    message_timeout: seconds(timeouts.decision),
    max_message_timeout: seconds(timeouts.decisionMax),
    processing_mode: {
      request_header_mode: 'SEND',
      // A static SEND would swallow Envoy's own answers to broken requests; asked for per request instead.
      response_header_mode: 'SKIP',
      request_body_mode: 'NONE',
      response_body_mode: 'NONE',
      request_trailer_mode: 'SKIP',
      response_trailer_mode: 'SKIP',
    },
    mutation_rules: { allow_envoy: true },
    metadata_options: {
      forwarding_namespaces: untyped(METADATA.warmpath),
      receiving_namespaces: untyped(METADATA.lb, METADATA.warmpath),
    },
    // The control plane sees nothing that it does not read: every header costs both sides. Credentials only if it knows some.
    forward_rules: {
      allowed_headers: {
        patterns: [
          ...READ_HEADERS,
          ...(forwardAuthorization ? [HEADER.authorization, HEADER.apiKey] : []),
        ].map((exact) => ({
          exact,
        })),
      },
    },
  });
}

const READ_HEADERS = [
  ':method',
  ':path',
  'content-encoding',
  'content-length',
  'x-request-id',
  HEADER.clientAddress,
  HEADER.requestClass,
  HEADER.deadline,
];

function lua(name: string, file: string, values: Readonly<Record<string, string>>): Message {
  const path = new URL(`../../../envoy/${file}`, import.meta.url);
  let source = readFileSync(path, 'utf8');
  for (const [key, value] of Object.entries(values)) source = source.replaceAll(key, value);
  return extension(name, 'envoy.extensions.filters.http.lua.v3.Lua', {
    default_source_code: { inline_string: source },
  });
}
