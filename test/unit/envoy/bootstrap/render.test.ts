import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { renderBootstrap } from '../../../../src/envoy/bootstrap/render.ts';
import { INFERENCE_ENDPOINTS, READS } from '../../../../src/request/endpoints.ts';
import { bootstrapOptions } from './options.ts';

// biome-ignore lint/suspicious/noExplicitAny: a parsed configuration, read by path in each test
type Loose = any;

const connectionManager = (options = bootstrapOptions()): Loose =>
  parse(renderBootstrap(options)).static_resources.listeners[0].filter_chains[0].filters[0].typed_config;
const routes = (options = bootstrapOptions()): Loose[] =>
  connectionManager(options).route_config.virtual_hosts[0].routes;

describe('the bootstrap', () => {
  it('shows the control plane keys only where it knows some, and no node ever', () => {
    const shown = (options = bootstrapOptions()): string[] =>
      connectionManager(options)
        .http_filters.find(({ name }: Loose) => name === 'ext_proc')
        .typed_config.forward_rules.allowed_headers.patterns.map(({ exact }: Loose) => exact);
    const keys = ['authorization', 'x-api-key'];
    expect(shown().filter((name) => keys.includes(name))).toEqual([]);
    expect(shown(bootstrapOptions({ forwardAuthorization: true }))).toEqual(expect.arrayContaining(keys));
    const removed: string[] = connectionManager().route_config.virtual_hosts[0].routes.flatMap(
      ({ request_headers_to_remove = [] }: Loose) => request_headers_to_remove,
    );
    for (const name of ['x-api-key', 'x-warmpath-class', 'x-warmpath-deadline', 'x-envoy-external-address'])
      expect(removed).toContain(name);
  });

  it('lets clients say how urgent a request is and how long it may wait, and nothing else of ours', () => {
    const { mutations } = connectionManager().early_header_mutation_extensions[0].typed_config;
    const isStripped = (name: string): boolean =>
      mutations.some(({ remove, remove_on_match }: Loose) => {
        const { prefix, safe_regex } = remove_on_match?.key_matcher ?? {};
        if (prefix !== undefined) return name.startsWith(prefix);
        return safe_regex === undefined
          ? name === remove
          : new RegExp(`^(?:${safe_regex.regex})$`).test(name);
      });
    expect(['x-warmpath-class', 'x-warmpath-deadline'].map(isStripped)).toEqual([false, false]);
    for (const name of ['x-warmpath-decision', 'x-warmpath-cluster', 'x-warmpath-', 'x-envoy-max-retries'])
      expect(isStripped(name)).toBe(true);
  });

  it('forwards nothing but the listed methods of the listed paths', () => {
    const forwarded = new Map<string, Set<string>>();
    for (const { match, route } of routes()) {
      if (route === undefined) continue;
      const method = match.headers.find(({ name }: Loose) => name === ':method').string_match.safe_regex
        .regex;
      const path = match.path ?? match.safe_regex.regex;
      forwarded.set(path, (forwarded.get(path) ?? new Set()).add(method));
    }
    const unslashed = '([^/%]|%[^25/]|%2[^fF/]|%5[^cC/])+';
    const listed = [
      ...INFERENCE_ENDPOINTS.map(({ path }) => [path, 'POST']),
      ...READS.map(({ path, isPrefix, methods }) => [
        isPrefix ? `${path}${unslashed}` : path,
        methods.join('|'),
      ]),
    ];
    expect([...forwarded].map(([path, methods]) => [path, [...methods].join()])).toEqual(listed);
  });

  it('ends in a refusal of everything', () => {
    const last = routes().at(-1);
    expect(last.match).toEqual({ prefix: '/' });
    expect(last.direct_response.status).toBe(403);
    for (const filter of ['bones', 'ext_proc', 'tap'])
      expect(last.typed_per_filter_config[filter].disabled).toBe(true);
  });

  it('keeps Lua and ext_proc away from every refusal but the one that ext_proc may lift', () => {
    const open = routes().filter(
      ({ direct_response, typed_per_filter_config: filters }) =>
        direct_response !== undefined && filters.ext_proc?.disabled !== true,
    );
    expect(open.map(({ match }) => match.safe_regex?.regex)).toEqual(['/v1/models/.+']);
  });

  it('reads the destination from dynamic metadata only', () => {
    const text = renderBootstrap(bootstrapOptions());
    expect(text).toContain('override_host_sources');
    expect(text).not.toMatch(/override_host_sources:\s+- header/);
    expect(text).not.toContain('ORIGINAL_DST');
  });

  it('checks Hosts on loopback only', () => {
    const hosts = (host: string) =>
      routes(bootstrapOptions({ listen: { host, port: 1 } })).filter(({ match }) =>
        match.headers?.some(({ name }: Loose) => name === ':authority'),
      ).length;
    expect(['127.0.0.1', '127.0.0.53', '::1'].map(hosts)).toEqual([1, 1, 1]);
    expect(['0.0.0.0', '::', '192.168.1.2'].map(hosts)).toEqual([0, 0, 0]);
  });

  it('carries both Lua filters, with the body limit filled in', () => {
    const filters: Loose[] = connectionManager().http_filters;
    const source = (name: string) =>
      filters.find((filter) => filter.name === name).typed_config.default_source_code.inline_string;
    expect(source('bones')).toContain('local LIMIT = 67108864\n');
    expect(source('tap')).toContain('function envoy_on_response');
    expect(source('bones') + source('tap')).not.toMatch(/@[A-Z_]+@/);
  });

  it('logs the decision and no header that could hold a secret', () => {
    const text = renderBootstrap(bootstrapOptions());
    const logged = text.match(/additional_request_headers_to_log:\n\s+- (.+)\n(?!\s+- )/g) ?? [];
    expect(logged).toHaveLength(2);
    for (const line of logged) expect(line).toContain('x-warmpath-decision');
  });

  it('waits for silence longer than for anything that may be silent', () => {
    const { stream_idle_timeout: idle } = connectionManager();
    const perTry = routes().find(({ route }) => route?.cluster === 'nodes_last_known').route.retry_policy
      .per_try_timeout;
    expect(Number.parseFloat(idle)).toBeGreaterThan(Number.parseFloat(perTry));
  });
});
