import { cel } from './cel.ts';
import { any, extension, type Message } from './message.ts';

/** Ollama's own list: pages on this machine, and applications that bring their own scheme. */
const LOCAL_HOSTS = ['localhost', '127\\.0\\.0\\.1', '0\\.0\\.0\\.0'];
const APP_SCHEMES = ['app', 'file', 'tauri', 'vscode-webview', 'vscode-file'];

/** Methods and headers that a page may use, as Ollama answers a preflight. */
const ALLOW_METHODS = 'GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS';
const ALLOW_HEADERS = [
  'Authorization',
  'Content-Type',
  'User-Agent',
  'Accept',
  'X-Requested-With',
  'Openai-Beta',
  ...['Arch', 'Async', 'Custom-Poll-Interval', 'Helper-Method', 'Lang', 'Os', 'Package-Version'].map(
    stainless,
  ),
  ...['Poll-Helper', 'Retry-Count', 'Runtime', 'Runtime-Version', 'Timeout'].map(stainless),
].join(',');
const MAX_AGE_SECONDS = 43_200;

function stainless(name: string): string {
  return `X-Stainless-${name}`;
}

/** Regular expression (whole string) of the origins whose pages may call us. */
export function allowedOrigins(configured: readonly string[]): string {
  if (configured.includes('*')) return '.+';
  return [
    `https?://(${LOCAL_HOSTS.join('|')})(:[0-9]{1,5})?`,
    `(${APP_SCHEMES.join('|')})://.*`,
    ...configured.map((origin) => origin.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', '[^/]*')),
  ].join('|');
}

/** How Envoy's matchers name "the Origin header is one of these". */
export function originMatches(origins: readonly string[]): Message {
  return { name: 'origin', string_match: { safe_regex: { regex: allowedOrigins(origins) } } };
}

/**
 * Refuses requests that a foreign web page sends. An allow-list that only says yes: a condition that cannot be
 * evaluated refuses.
 */
export function originFilter(origins: readonly string[]): Message {
  const anyone = [{ any: true }];
  const policies = {
    'no-origin': {
      permissions: [{ not_rule: { header: { name: 'origin', present_match: true } } }],
      principals: anyone,
    },
    'allowed-origin': { permissions: [{ header: originMatches(origins) }], principals: anyone },
    'same-origin': {
      permissions: [{ header: { name: 'origin', present_match: true } }],
      principals: anyone,
      condition: isSameOrigin(),
    },
  };
  return extension('origin', 'envoy.extensions.filters.http.rbac.v3.RBAC', {
    rules: { action: 'ALLOW', policies },
  });
}

/** origin == "http://" + host || origin == "https://" + host, without concatenation, which Envoy's CEL lacks. */
function isSameOrigin(): Message {
  const request = cel.ident('request');
  const origin = cel.index(cel.select(request, 'headers'), cel.string('origin'));
  const host = cel.select(request, 'host');
  const is = (scheme: string) =>
    cel.and(
      cel.startsWith(origin, cel.string(scheme)),
      cel.and(
        cel.endsWith(origin, host),
        cel.equals(cel.size(origin), cel.add(cel.size(host), cel.int(scheme.length))),
      ),
    );
  return cel.or(is('http://'), is('https://'));
}

/** Tells the page that it may read the answer; goes on the virtual host, read by the `cors` filter. */
export function corsPolicy(origins: readonly string[], exposed: readonly string[]): Message {
  return any('envoy.extensions.filters.http.cors.v3.CorsPolicy', {
    allow_origin_string_match: [{ safe_regex: { regex: allowedOrigins(origins) } }],
    ...(exposed.length === 0 ? {} : { expose_headers: exposed.join(',') }),
    forward_not_matching_preflights: true,
  });
}

/** The answer to any preflight of an allowed origin. Envoy's own would be a 200. */
export function preflightRoute(origins: readonly string[], disabled: Message): Message {
  const header = (key: string, value: string) => ({
    header: { key, value },
    append_action: 'OVERWRITE_IF_EXISTS_OR_ADD',
  });
  return {
    match: {
      prefix: '/',
      headers: [{ name: ':method', string_match: { exact: 'OPTIONS' } }, originMatches(origins)],
    },
    direct_response: { status: 204 },
    response_headers_to_add: [
      header('access-control-allow-origin', '%REQ(origin)%'),
      header('access-control-allow-methods', ALLOW_METHODS),
      header('access-control-allow-headers', ALLOW_HEADERS),
      header('access-control-max-age', String(MAX_AGE_SECONDS)),
      header('vary', 'Origin, Access-Control-Request-Method, Access-Control-Request-Headers'),
    ],
    typed_per_filter_config: disabled,
  };
}
